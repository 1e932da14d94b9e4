"""Another service's volumes: whatever call is lost, no volume stays reserved and no status lies."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.errors import InvalidVolume, QuotaExceeded
from emberkeep.backups.service import NO_SERVICE
from emberkeep.testing.remote import RemoteVolumes
from emberkeep.volumes.errors import VolumesUnavailable
from emberkeep.volumes.service import Outcome

ADMIN = a_caller(is_admin=True)
DATA = b"remote" * 1000


@pytest.fixture
def remote() -> RemoteVolumes:
    return RemoteVolumes(limit=100)


@pytest.fixture
def stage(tmp_path: Path, remote: RemoteVolumes) -> Iterator[Stage]:
    made = Stage(tmp_path, remote=remote)
    yield made
    made.close()


def settle(stage: Stage) -> None:
    """Let all that is forsaken be found, and everything be done."""
    for _ in range(3):
        stage.work()
        stage.clock.pass_by(stage.patience.lease + 1)
        stage.one.beat()
        stage.one.keep_house()
    stage.work()
    assert all(job.state in ("done", "failed") for job in stage.jobs())
    with stage.database.reading() as tx:
        assert stage.queue.forsaken(tx) == []


def reserved(remote: RemoteVolumes) -> list[str]:
    """What is held for anybody."""
    volumes = [volume.status for volume in remote.volumes.values()]
    snapshots = [snapshot.status for snapshot in remote.snapshots.values()]
    free = ("available", "in-use", "error", "error_restoring")
    return [status for status in volumes + snapshots if status not in free]


CALLS = ["get", "reserve_for_backup", "reservation", "release", "open_source"]


@pytest.mark.parametrize("after", [False, True], ids=["unheard", "unanswered"])
@pytest.mark.parametrize("times", [1, 2, 50])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("before", ["available", "in-use"])
def test_a_backup_survives_a_lost_call_or_is_as_if_it_were_not(
    stage: Stage, remote: RemoteVolumes, before: str, call: str, times: int, after: bool
) -> None:
    volume_id = stage.a_volume(DATA)
    remote.volumes[volume_id].status = before
    remote.lose(call, after=after, times=times)
    accepted = None
    try:
        accepted = stage.create(volume_id, force=True)
    except VolumesUnavailable:
        assert call in ("get", "reserve_for_backup")
    try:
        settle(stage)
    except AssertionError:
        assert times == 50  # the service is away for long: what is due waits for it
        remote.lose(call, after=after, times=0)
        settle(stage)
    assert reserved(remote) == []
    assert remote.volumes[volume_id].status == before
    backups = stage.backups.list(CALLER, stage.everything).items
    if accepted is None:
        assert backups == []
        return
    (backup,) = backups
    if times == 50 and call in ("reservation", "open_source"):
        assert backup.status == "error"
        assert "Given up after 3 attempts" in (backup.fail_reason or "")
    else:
        assert (backup.status, backup.fail_reason) == ("available", None)
    assert len(stage.stores["az1"].names("/r/")) == (backup.status == "available")


@pytest.mark.parametrize("after", [False, True], ids=["unheard", "unanswered"])
@pytest.mark.parametrize("times", [1, 50])
@pytest.mark.parametrize(
    "call",
    ["get", "reserve_for_restore", "create_for_restore", "reservation", "release", "open_target"],
)
@pytest.mark.parametrize("into", ["new", "existing"])
def test_a_restore_survives_a_lost_call_or_says_that_it_failed(
    stage: Stage, remote: RemoteVolumes, into: str, call: str, times: int, after: bool
) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.a_volume(b"x" * 9000) if into == "existing" else None
    remote.lose(call, after=after, times=times)
    accepted = None
    try:
        accepted = stage.restore(backup.id, target)
    except VolumesUnavailable:
        assert stage.status(backup.id) == "available"
    try:
        settle(stage)
    except AssertionError:
        assert times == 50
        remote.lose(call, after=after, times=0)
        settle(stage)
    assert reserved(remote) == []
    shown = stage.shown(backup.id)
    assert shown.status == "available"
    if accepted is None:
        assert target is None or stage.content(target, 5) == b"xxxxx"
    elif times == 50 and call in ("reservation", "open_target"):
        assert stage.volume_status(accepted.volume_id) == "error_restoring"
        assert "Given up after 3 attempts" in (shown.fail_reason or "")
    else:
        assert stage.volume_status(accepted.volume_id) == "available"
        assert stage.content(accepted.volume_id, len(DATA)) == DATA


def test_a_snapshot_is_given_back_too(stage: Stage, remote: RemoteVolumes) -> None:
    snapshot_id = stage.a_snapshot(stage.a_volume(DATA))
    volume_id = remote.snapshots[snapshot_id].volume_id
    remote.lose("release", after=False, times=2)
    backup = stage.create(volume_id, snapshot_id=snapshot_id)
    settle(stage)
    assert stage.status(backup.id) == "available"
    assert remote.snapshots[snapshot_id].status == "available"


def test_what_is_refused_after_the_reservation_is_given_back(
    stage: Stage, remote: RemoteVolumes
) -> None:
    stage.set_limits(quota_backups=0)
    volume_id = stage.a_volume(DATA)
    with pytest.raises(QuotaExceeded):
        stage.create(volume_id)
    assert reserved(remote) == []
    stage.set_limits()
    accepted = stage.create(volume_id, availability_zone="typo")
    assert (accepted.status, accepted.fail_reason) == ("error", NO_SERVICE)
    assert remote.volumes[volume_id].status == "available"
    remote.volumes[volume_id].status = "extending"
    with pytest.raises(InvalidVolume) as caught:
        stage.create(volume_id)
    assert str(caught.value) == (
        "Invalid volume: Volume to be backed up must be available or in-use, but the current "
        'status is "extending".'
    )
    assert stage.jobs() == []


def test_a_worker_that_dies_before_the_release_is_followed_by_who_only_releases(
    stage: Stage, remote: RemoteVolumes
) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    release = remote.release

    def die(*_given: object, **_named: object) -> None:
        raise SystemExit

    remote.release = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        stage.one.run_until_idle()
    assert stage.status(backup.id) == "available"  # it is: only the volume waits
    assert reserved(remote) == ["backing-up"]
    remote.release = release  # type: ignore[method-assign]
    opened = remote.calls["open_source"]
    stage.one.register()
    stage.one.run_until_idle()
    assert reserved(remote) == []
    assert remote.calls["open_source"] == opened
    assert len(stage.stores["az1"].names("/r/")) == 1


def test_what_was_said_of_a_job_once_is_not_said_otherwise_later(
    stage: Stage, remote: RemoteVolumes
) -> None:
    """A restore ended well; its release failed in an unforeseen way till nobody was left to try."""
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.a_volume(b"x")
    stage.restore(backup.id, target)
    release = remote.release
    outcomes: list[Outcome] = []

    def break_down(_job_id: str, outcome: Outcome, **_named: object) -> None:
        outcomes.append(outcome)
        raise ZeroDivisionError

    remote.release = break_down  # type: ignore[method-assign, assignment]
    for _ in range(5):
        try:
            stage.one.run_until_idle()
        except ZeroDivisionError:
            stage.clock.pass_by(stage.patience.lease + 1)
        stage.clock.pass_by(60)
        stage.one.beat()
    assert len(outcomes) > 3
    assert set(outcomes) == {Outcome.COMPLETED}
    remote.release = release  # type: ignore[method-assign]
    stage.clock.pass_by(stage.patience.lease + 1)
    stage.one.beat()
    settle(stage)
    assert stage.volume_status(target) == "available"
    assert stage.content(target, len(DATA)) == DATA


def test_a_job_that_nobody_reaches_any_more_only_gives_its_volume_back(
    stage: Stage, remote: RemoteVolumes
) -> None:
    """It is overdue while its release is: the backup was made."""
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    remote.lose("release", after=False, times=1)
    stage.one.run_one()
    stage.clock.pass_by(stage.patience.zone_wait + 60)
    two = stage.worker("two", zones=("az2",))
    two.keep_house()
    assert reserved(remote) == []
    assert stage.status(backup.id) == "available"
