"""Backups in any zone and container, with or without their parents, restore without the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.world import World, a_world

from emberkeep.backups.service import NewBackup, Query
from emberkeep.db import volumes as table
from emberkeep.volumes.drivers import blocks
from emberkeep.volumes.drivers.files import FileSource

FIRST = bytes(range(1, 251)) * 4000
CHANGE = b"changed" * 9000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "state", zones=("az1", "az2", "az3")) as made:
        yield made


@pytest.mark.parametrize("parent", ["there", "deleted", "in error"])
@pytest.mark.parametrize("container", [None, "other"], ids=["same container", "other container"])
@pytest.mark.parametrize("zone", ["az2", "az3"], ids=["same zone", "other zone"])
@pytest.mark.parametrize("incremental", [False, True], ids=["full", "incremental"])
def test_each_backup_restores_with_every_other_store_gone(
    world: World, incremental: bool, zone: str, container: str | None, parent: str
) -> None:
    volume = world.a_volume(FIRST)
    first = world.a_backup(volume.id, availability_zone="az2")
    world.write(volume.id, CHANGE, 5000)
    wanted = FIRST[:5000] + CHANGE + FIRST[5000 + len(CHANGE) :]
    second = world.a_backup(
        volume.id, incremental=incremental, availability_zone=zone, container=container
    )
    assert (second.status, second.availability_zone) == ("available", zone)
    assert second.parent_id == (first.id if incremental else None)
    match parent:
        case "deleted":
            world.backups.delete(world.caller, first.id)
            world.work()
        case "in error":
            world.backups.reset_status(world.caller, first.id, "error")
    for other in {"az1", "az2", "az3"} - {zone}:
        world.store(other).rename(world.store(other).with_name(f"{other}.gone"))
    for target in (None, world.a_volume(b"\xff" * 5_000_000, zone="az3").id):
        restored = world.restored(second.id, volume_id=target)
        assert world.volumes.show(restored).status == "available"
        assert world.content(restored, 5_000_000) == wanted + bytes(5_000_000 - len(wanted))
    assert world.backups.show(world.caller, second.id).status == "available"


def test_a_restored_new_volume_is_what_the_original_was(world: World) -> None:
    volume = world.a_volume(FIRST)
    original = {
        "name": "database",
        "description": "the only one",
        "metadata": {"owner": "ada"},
        "image_metadata": {"image_id": "i", "min_disk": "1"},
        "bootable": True,
    }
    with world.parts.database.writing() as tx:
        table.change(tx, volume.id, **original)
    backup = world.a_backup(volume.id, availability_zone="az2")
    restored = world.volumes.show(world.restored(backup.id))
    original["metadata"] = {"owner": "ada", "src_backup_id": backup.id}
    assert {name: getattr(restored, name) for name in original} == original


def test_what_was_zeroed_is_zero_wherever_it_is_restored(world: World) -> None:
    volume = world.a_volume(b"\xaa" * 4_000_000)
    world.a_backup(volume.id)
    world.write(volume.id, bytes(3_000_000), 500_000)
    wanted = b"\xaa" * 500_000 + bytes(3_000_000) + b"\xaa" * 500_000 + bytes(1_000_000)
    incremental = world.a_backup(volume.id, incremental=True)
    full_of_other_data = world.a_volume(b"\xbb" * 8_000_000)
    world.write(volume.id, b"\xcc" * 5_000_000)
    for target in (None, volume.id, full_of_other_data.id):
        restored = world.restored(incremental.id, volume_id=target)
        assert world.content(restored, 5_000_000) == wanted


def test_a_volume_written_to_while_it_is_backed_up_is_no_torn_backup(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "share", lambda _original, _descriptor: False)
    volume = world.a_volume(FIRST)
    read_into = FileSource.read_into

    def disturbed(self: FileSource, offset: int, buffer: memoryview) -> None:
        read_into(self, offset, buffer)
        world.write(volume.id, b"!", 3)

    monkeypatch.setattr(FileSource, "read_into", disturbed)
    backup = world.a_backup(volume.id)
    assert backup.status == "error"
    assert "was written to while it was backed up" in (backup.fail_reason or "")
    assert world.volumes.show(volume.id).status == "available"


def test_a_zone_that_nobody_serves_ends_in_error_and_the_row_can_go(world: World) -> None:
    volume = world.a_volume(FIRST)
    asked = NewBackup(volume.id, availability_zone="typo")
    created = world.backups.create(world.caller, asked)
    shown = world.backups.show(world.caller, created.id)
    assert (shown.status, shown.availability_zone) == ("error", "typo")
    assert shown.fail_reason == "Service not found for creating backup."
    assert world.volumes.show(volume.id).status == "available"
    world.backups.delete(world.caller, created.id)
    world.work()
    assert world.backups.list(world.caller, Query()).items == []
