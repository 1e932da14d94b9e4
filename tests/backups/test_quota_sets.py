"""Limits of the database: what they do while many ask at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stage import CALLER, Stage, at_once
from tests.world import a_caller, a_world

from emberkeep.backups.errors import InvalidBackup, LimitBelowUsage, QuotaExceeded
from emberkeep.backups.quota_sets import RESOURCES, QuotaSets, Standing
from emberkeep.db.backups import Backup
from emberkeep.db.database import utc_now
from emberkeep.db.quotas import DEFAULT_CLASS
from emberkeep.testing.volumes import PROJECT
from emberkeep.volumes.local import VolumeRequest
from emberkeep.volumes.quota import VolumeQuotas

ADMIN = a_caller(is_admin=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """With a clock that goes."""
    made = Stage(tmp_path, clock=utc_now)
    yield made
    made.close()


@pytest.fixture
def sets(stage: Stage) -> QuotaSets:
    return QuotaSets(stage.database, VolumeQuotas(-1, -1, -1), stage.settings)


def backups(sets: QuotaSets) -> Standing:
    return sets.show(CALLER, PROJECT)["backups"]


@pytest.mark.parametrize("of_class", [False, True])
def test_many_at_once_never_get_more_than_the_limit(
    stage: Stage, sets: QuotaSets, of_class: bool
) -> None:
    if of_class:
        sets.update_class(ADMIN, DEFAULT_CLASS, {"backups": 3})
    else:
        sets.update(ADMIN, PROJECT, {"backups": 3})
    volumes = [stage.a_volume() for _ in range(8)]
    ended = at_once(*[lambda v=v: stage.create(v) for v in volumes])  # type: ignore[misc]
    assert sum(isinstance(end, Backup) for end in ended) == 3
    assert sum(isinstance(end, QuotaExceeded) for end in ended) == 5
    assert backups(sets) == Standing(limit=3, in_use=3)


def test_a_limit_that_is_set_beside_others_work_holds_or_is_refused(
    stage: Stage, sets: QuotaSets
) -> None:
    volumes = [stage.a_volume() for _ in range(8)]
    creates = [lambda v=v: stage.create(v) for v in volumes]  # type: ignore[misc]
    *_, ended = at_once(*creates, lambda: sets.update(ADMIN, PROJECT, {"backups": 4}))
    standing = backups(sets)
    if isinstance(ended, LimitBelowUsage):
        assert standing == Standing(limit=10, in_use=8)
    else:
        assert standing == Standing(limit=4, in_use=4)


def test_first_limits_at_once_are_one_limit(stage: Stage, sets: QuotaSets) -> None:
    updates = [lambda n=n: sets.update(ADMIN, PROJECT, {"backups": n}) for n in range(8)]  # type: ignore[misc]
    updates += [lambda n=n: sets.update_class(ADMIN, "gold", {"backups": n}) for n in range(8)]  # type: ignore[misc]
    ended = at_once(*updates)
    assert [end for end in ended if isinstance(end, BaseException)] == []
    assert backups(sets).limit in range(8)
    assert sets.show_class(ADMIN, "gold")["backups"] in range(8)


def test_what_was_refused_or_is_gone_does_not_count(stage: Stage, sets: QuotaSets) -> None:
    volume_id = stage.a_volume()
    with pytest.raises(InvalidBackup):
        stage.create(volume_id, incremental=True)
    assert backups(sets).in_use == 0
    backup = stage.a_backup(volume_id)
    assert backups(sets).in_use == 1
    stage.backups.delete(CALLER, backup.id)
    assert backups(sets).in_use == 1  # until it is gone
    stage.one.run_until_idle()
    assert backups(sets).in_use == 0


def test_what_the_configuration_says_is_the_default(stage: Stage) -> None:
    stage.set_limits(quota_backups=2, quota_backup_gigabytes=3)
    quotas = VolumeQuotas(volumes=4, snapshots=5, gigabytes=6, groups=7, per_volume_gigabytes=8)
    sets = QuotaSets(stage.database, quotas, stage.settings)
    found = sets.defaults(CALLER, PROJECT)
    assert list(found) == list(RESOURCES)
    assert {name: limit for name, limit in found.items() if limit != -1} == {
        "volumes": 4,
        "snapshots": 5,
        "gigabytes": 6,
        "groups": 7,
        "per_volume_gigabytes": 8,
        "backups": 2,
        "backup_gigabytes": 3,
    }


def test_sizes_of_snapshots_need_not_count(stage: Stage) -> None:
    quotas = VolumeQuotas(volumes=-1, snapshots=-1, gigabytes=3, no_snapshot_gb_quota=True)
    stage.limit_volumes(quotas)
    stage.one = stage.worker()
    volume_id = stage.a_volume(size_gib=2)
    for _ in range(2):
        stage.a_snapshot(volume_id)
    sets = QuotaSets(stage.database, quotas, stage.settings)
    assert sets.show(CALLER, PROJECT)["gigabytes"] == Standing(limit=3, in_use=2)
    stage.local.create(CALLER, VolumeRequest(size_gib=1))


def test_a_volume_does_not_grow_beyond_the_limit_of_one(stage: Stage, sets: QuotaSets) -> None:
    volume_id = stage.a_volume(size_gib=2)
    sets.update(ADMIN, PROJECT, {"per_volume_gigabytes": 3})
    with pytest.raises(Exception, match=r"VolumeSizeExceedsLimit: Requested volume size 4G is"):
        stage.local.extend(CALLER, volume_id, 4)
    stage.local.extend(CALLER, volume_id, 3)


def test_the_file_says_what_projects_may_have(tmp_path: Path) -> None:
    conf = """[DEFAULT]
quota_volumes = 1
quota_snapshots = 2
quota_gigabytes = 3
quota_backups = 4
quota_backup_gigabytes = 5
quota_groups = 6
per_volume_size_limit = 7
no_snapshot_gb_quota = true
message_ttl = 8
"""
    with a_world(tmp_path / "state", conf=conf) as world:
        assert world.volumes.quotas == VolumeQuotas(
            volumes=1,
            snapshots=2,
            gigabytes=3,
            groups=6,
            per_volume_gigabytes=7,
            no_snapshot_gb_quota=True,
        )
        settings = world.backups.settings
        assert (settings.quota_backups, settings.quota_backup_gigabytes) == (4, 5)
        assert (settings.message_ttl, world.configuration.message_ttl) == (8, 8)


def test_without_a_word_projects_may_have_what_cinders_may(tmp_path: Path) -> None:
    with a_world(tmp_path / "state") as world:
        assert world.volumes.quotas == VolumeQuotas()
        assert world.configuration.message_ttl == 30 * 86_400
        sets = QuotaSets(world.parts.database, world.volumes.quotas, world.backups.settings)
        assert sets.defaults(CALLER, PROJECT) == dict.fromkeys(RESOURCES, -1) | {
            "volumes": 10,
            "snapshots": 10,
            "gigabytes": 1000,
            "backups": 10,
            "backup_gigabytes": 1000,
            "groups": 10,
        }
