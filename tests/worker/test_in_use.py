"""Backups of volumes that somebody uses, and what becomes of who uses them."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.stage import CALLER, Stage, at_once

from emberkeep.backups.errors import InvalidVolume
from emberkeep.db.backups import Backup
from emberkeep.engine.errors import SourceError

DATA = random.Random(11).randbytes(300_000)
CONNECTOR = {"host": "h", "mountpoint": "/dev/vdb"}


def in_use(stage: Stage, data: bytes = DATA) -> tuple[str, str]:
    """A volume in use by the attachments API; its id and the attachment's."""
    volume_id = stage.a_volume(data)
    made = stage.local.create_attachment(
        CALLER, volume_id, instance_uuid=None, connector=CONNECTOR, mode=None
    )
    stage.local.complete_attachment(CALLER, made.id)
    return volume_id, made.id


def test_without_force_a_volume_in_use_is_not_backed_up(stage: Stage) -> None:
    volume_id, _ = in_use(stage)
    with pytest.raises(InvalidVolume, match="in-use volume must use the force flag"):
        stage.create(volume_id)
    assert stage.volume_status(volume_id) == "in-use"


@pytest.mark.parametrize("incremental", [False, True])
def test_by_force_a_volume_in_use_is_backed_up_and_in_use_again(
    stage: Stage, incremental: bool
) -> None:
    volume_id, attachment_id = in_use(stage)
    if incremental:
        stage.a_backup(volume_id, force=True)
        stage.write(volume_id, DATA[::-1])
    created = stage.create(volume_id, force=True, incremental=incremental)
    assert stage.volume_status(volume_id) == "backing-up"
    stage.one.run_until_idle()
    assert (stage.status(created.id), stage.volume_status(volume_id)) == ("available", "in-use")
    expected = stage.content(volume_id, len(DATA))
    stage.write(volume_id, b"written since then")
    restored = stage.restore(created.id).volume_id
    stage.one.run_until_idle()
    assert stage.content(restored, len(DATA)) == expected
    stage.local.delete_attachment(CALLER, attachment_id)
    assert stage.volume_status(volume_id) == "available"


def test_a_backup_that_fails_leaves_the_volume_in_use(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id, _ = in_use(stage)

    def broken(*_: Any, **__: Any) -> None:
        raise SourceError("the disk is gone")

    monkeypatch.setattr(stage.drivers["host@az1"], "point_in_time", broken)
    created = stage.create(volume_id, force=True)
    stage.work()
    assert (stage.status(created.id), stage.volume_status(volume_id)) == ("error", "in-use")


def test_who_gives_a_volume_back_during_its_backup_finds_it_available(stage: Stage) -> None:
    volume_id, attachment_id = in_use(stage)
    created = stage.create(volume_id, force=True)
    assert stage.local.delete_attachment(CALLER, attachment_id) == []
    assert stage.volume_status(volume_id) == "backing-up"
    stage.one.run_until_idle()
    assert (stage.status(created.id), stage.volume_status(volume_id)) == ("available", "available")


def test_a_volume_is_attached_or_backed_up_but_not_both(stage: Stage) -> None:
    for _ in range(4):
        volume_id = stage.a_volume()
        calls: list[Callable[[], object]] = [
            lambda v=volume_id: stage.create(v),  # type: ignore[misc]
            lambda v=volume_id: stage.local.create_attachment(  # type: ignore[misc]
                CALLER, v, instance_uuid=None, connector=None, mode=None
            ),
        ]
        backup, attachment = at_once(*calls)
        assert isinstance(backup, Backup) == isinstance(attachment, Exception)
        expected = "backing-up" if isinstance(backup, Backup) else "reserved"
        assert stage.volume_status(volume_id) == expected


def test_nothing_is_restored_to_a_volume_in_use(stage: Stage) -> None:
    volume_id, _ = in_use(stage)
    backup = stage.a_backup(volume_id, force=True)
    with pytest.raises(InvalidVolume, match="must be available"):
        stage.restore(backup.id, volume_id)
    assert stage.content(volume_id, len(DATA)) == DATA


@pytest.mark.parametrize("job", ["backup", "restore"])
def test_a_volume_that_is_deleted_by_force_meanwhile_is_gone(stage: Stage, job: str) -> None:
    volume_id = stage.a_volume(DATA)
    if job == "backup":
        stage.create(volume_id)
    else:
        backup = stage.a_backup(stage.a_volume(DATA))
        stage.restore(backup.id, volume_id)
    stage.local.delete(CALLER, volume_id, force=True)
    stage.work()
    assert not (stage.directory / "az1" / volume_id).exists()
    assert stage.local_volumes() == (0 if job == "backup" else 1)
