"""What callers may ask of volumes, and what they are told."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.volumes.kept import CALLER, LocalPlace, a_caller, create, first_bytes

from emberkeep.db import tables
from emberkeep.db import volumes as table
from emberkeep.db.paging import Query
from emberkeep.volumes.errors import (
    InvalidInput,
    InvalidSnapshot,
    InvalidVolume,
    Malformed,
    SnapshotNotFound,
    TypeNotFound,
    UnknownZone,
    VolumeNotFound,
)
from emberkeep.volumes.local import DEFAULT_TYPE_ID, GIB, VolumeRequest

MISSING = "00000000-0000-4000-8000-000000000000"


class Denied(Exception):
    pass


def denying(rule: str, _project_id: str | None) -> None:
    raise Denied(rule)


def test_a_volume_is_creating_until_its_file_is_made(place: LocalPlace) -> None:
    volume_id = create(place, size_gib=2, name="n", description="d", metadata={"k": "v"})
    row = place.service.show(volume_id)
    assert (row.status, row.availability_zone, row.size) == ("creating", "az1", 2)
    assert (row.name, row.description, row.metadata) == ("n", "d", {"k": "v"})
    assert (row.project_id, row.user_id, row.volume_type) == ("p", "u", "__DEFAULT__")
    assert place.files() == []
    place.work()
    assert place.status(volume_id) == "available"
    assert place.path(volume_id).stat().st_size == 2 * GIB


def test_a_volume_is_made_in_the_zone_that_was_asked_for(place: LocalPlace) -> None:
    volume_id = place.a_volume(availability_zone="az2")
    assert place.files("az2") == [volume_id]
    with pytest.raises(UnknownZone, match=r"^Availability zone 'az9' is invalid\.$"):
        create(place, size_gib=1, availability_zone="az9")


@pytest.mark.parametrize("volume_type", [None, "__DEFAULT__", DEFAULT_TYPE_ID])
def test_there_is_one_volume_type(place: LocalPlace, volume_type: str | None) -> None:
    volume_id = create(place, size_gib=1, volume_type=volume_type)
    assert place.service.show(volume_id).volume_type == "__DEFAULT__"


def test_other_volume_types_are_not_found(place: LocalPlace) -> None:
    with pytest.raises(TypeNotFound, match=r"^Volume type with name fast could not be found\.$"):
        create(place, size_gib=1, volume_type="fast")
    with pytest.raises(TypeNotFound, match=rf"^Volume type {MISSING} could not be found\.$"):
        create(place, size_gib=1, volume_type=MISSING)


@pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
def test_a_volume_of_another_has_its_bytes_and_goes_its_own_way(
    place: LocalPlace, source: str
) -> None:
    origin = place.a_volume(data=b"data")
    with place.database.writing() as tx:
        table.change(tx, origin, bootable=True, image_metadata={"os": "linux"})
    of = place.a_snapshot(origin) if source == "snapshot_id" else origin
    larger = create(place, size_gib=3, **{source: of})
    same = create(place, **{source: of})
    place.work()
    with place.path(origin).open("r+b") as file:
        file.write(b"later")
    assert (place.status(larger), place.status(same)) == ("available", "available")
    assert place.service.show(same).size == 1
    assert place.path(larger).stat().st_size == 3 * GIB
    for volume_id in (larger, same):
        assert first_bytes(place.path(volume_id), 6) == b"data\0\0"
        row = place.service.show(volume_id)
        assert (row.bootable, row.image_metadata) == (True, {"os": "linux"})


def test_sources_are_checked_in_cinders_order(place: LocalPlace) -> None:
    origin = place.a_volume(size_gib=2)
    snapshot = place.a_snapshot(origin)
    nobody = a_caller(authorize=denying)
    service = place.service
    with pytest.raises(SnapshotNotFound, match=f"^Snapshot {MISSING} could not be found"):
        service.create(nobody, VolumeRequest(snapshot_id=MISSING, source_volid=MISSING))
    with pytest.raises(VolumeNotFound, match=f"^Volume {MISSING} could not be found"):
        service.create(nobody, VolumeRequest(snapshot_id=snapshot, source_volid=MISSING))
    with pytest.raises(Denied, match=r"^volume:create$"):
        service.create(nobody, VolumeRequest(snapshot_id=snapshot, source_volid=origin))
    with pytest.raises(InvalidInput, match="May specify only one of backup, imageRef, snapshot"):
        create(place, snapshot_id=snapshot, source_volid=origin)
    with pytest.raises(Malformed):
        create(place)
    with pytest.raises(
        InvalidInput,
        match=r"^Invalid input received: Volume size '1'GB cannot be smaller than the snapshot "
        r"size 2GB\. They must be >= original snapshot size\.$",
    ):
        create(place, snapshot_id=snapshot, size_gib=1, availability_zone="az9")
    with pytest.raises(
        InvalidInput,
        match=r"^Invalid input received: Volume size '1'GB cannot be smaller than original "
        r"volume size  2GB\. They must be >= original volume size\.$",
    ):
        create(place, source_volid=origin, size_gib=1)
    with pytest.raises(InvalidInput, match="same availability zone as the source volume"):
        create(place, source_volid=origin, availability_zone="az2")
    place.set_status(origin, "error")
    with pytest.raises(
        InvalidVolume, match="Originating source volume status must be one of 'available, in-use'"
    ):
        create(place, source_volid=origin)
    with place.database.writing() as tx:
        table.change_snapshot(tx, snapshot, status="error")
    with pytest.raises(InvalidSnapshot, match="Originating snapshot status must be one of"):
        create(place, snapshot_id=snapshot)
    assert place.tasks == []


def test_another_projects_volumes_are_not_there_except_for_admins(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    stranger = a_caller("other")
    for ask in (
        lambda: place.service.show(volume_id, project_id=stranger.sees),
        lambda: place.service.create(stranger, VolumeRequest(source_volid=volume_id)),
        lambda: place.service.delete(stranger, volume_id),
        lambda: place.service.extend(stranger, volume_id, 2),
    ):
        with pytest.raises(VolumeNotFound):
            ask()
    place.service.delete(a_caller("other", is_admin=True), volume_id)


def test_a_clone_whose_origin_cannot_be_read_is_in_error(place: LocalPlace) -> None:
    origin = place.a_volume()
    clone = create(place, source_volid=origin)
    place.path(origin).unlink()
    place.work()
    assert place.status(clone) == "error"


# Deleting.


@pytest.mark.parametrize(
    "status", ["available", "error", "error_restoring", "error_extending", "error_managing"]
)
def test_a_volume_is_deleting_until_its_file_is_gone(place: LocalPlace, status: str) -> None:
    volume_id = place.a_volume(status=status)
    place.service.delete(CALLER, volume_id)
    assert place.status(volume_id) == "deleting"
    place.work()
    assert place.files() == []
    with pytest.raises(VolumeNotFound):
        place.service.show(volume_id)


@pytest.mark.parametrize(
    "status", ["creating", "in-use", "backing-up", "restoring-backup", "deleting", "extending"]
)
def test_a_volume_that_is_busy_is_not_deleted(place: LocalPlace, status: str) -> None:
    volume_id = place.a_volume(status=status)
    with pytest.raises(
        InvalidVolume,
        match="^Invalid volume: Volume status must be available or error or error_restoring or "
        "error_extending or error_managing and must not be migrating, attached, belong to a "
        "group, have snapshots, awaiting a transfer, or be disassociated from snapshots after "
        r"volume transfer\.$",
    ):
        place.service.delete(CALLER, volume_id)
    assert place.status(volume_id) == status


def test_a_volume_with_snapshots_goes_only_with_all_of_them(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    snapshot_id = place.a_snapshot(volume_id)
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, volume_id)
    place.service.delete(CALLER, volume_id, cascade=True)
    place.work()
    assert place.files() == []
    with pytest.raises(SnapshotNotFound):
        place.service.show_snapshot(snapshot_id)


def test_a_snapshot_that_is_backed_up_keeps_its_volume(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    place.a_snapshot(volume_id, status="backing-up")
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, volume_id, cascade=True)


def test_what_is_yet_to_be_copied_is_not_deleted(place: LocalPlace) -> None:
    origin = place.a_volume(data=b"data")
    snapshot_id = place.a_snapshot(origin)
    clone = create(place, source_volid=origin)
    other = create(place, snapshot_id=snapshot_id)
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, origin, cascade=True)
    with pytest.raises(InvalidSnapshot):
        place.service.delete_snapshot(CALLER, snapshot_id)
    place.work()
    place.service.delete(CALLER, origin, cascade=True)
    place.work()
    assert place.files() == sorted([clone, other])


def test_the_origin_of_a_clone_stays_until_the_clone_is_made(place: LocalPlace) -> None:
    origin = place.a_volume(data=b"data")
    clone = create(place, source_volid=origin)
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, origin)
    place.work()
    place.service.delete(CALLER, origin)
    place.work()
    assert first_bytes(place.path(clone), 4) == b"data"


def test_a_deletion_that_cannot_be_done_may_be_asked_for_again(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = place.a_volume()
    place.service.delete(CALLER, volume_id)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_a, **_k: os.stat("/nowhere"))
        place.work()
    assert place.status(volume_id) == "error"
    place.service.delete(CALLER, volume_id)
    place.work()
    assert place.files() == []


def test_each_rule_is_asked_with_the_things_project(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    snapshot_id = place.a_snapshot(volume_id)
    asked: list[tuple[str, str | None]] = []
    admin = a_caller("other", is_admin=True, authorize=lambda *rule: asked.append(rule))
    place.service.create_snapshot(
        admin, volume_id, name=None, description=None, metadata={}, in_use=False
    )
    place.work()
    place.service.delete_snapshot(admin, snapshot_id)
    place.service.extend(admin, volume_id, 2)
    place.work()
    place.service.delete(admin, volume_id, cascade=True)
    place.service.create(admin, VolumeRequest(size_gib=1))
    assert asked == [
        ("volume:create_snapshot", "p"),
        ("volume:get_snapshot", "p"),
        ("volume:delete_snapshot", "p"),
        ("volume:extend", "p"),
        ("volume:delete", "p"),
        ("volume:create", None),
    ]


# Extending.


def test_extending_keeps_the_bytes(place: LocalPlace) -> None:
    volume_id = place.a_volume(data=b"data")
    place.service.extend(CALLER, volume_id, 3)
    assert (place.status(volume_id), place.service.show(volume_id).size) == ("extending", 3)
    place.work()
    assert place.status(volume_id) == "available"
    assert place.path(volume_id).stat().st_size == 3 * GIB
    assert first_bytes(place.path(volume_id), 5) == b"data\0"


def test_what_cannot_be_extended_says_why(place: LocalPlace) -> None:
    volume_id = place.a_volume(size_gib=2)
    for size in (1, 2):
        with pytest.raises(
            InvalidInput,
            match="^Invalid input received: New size for extend must be greater than current "
            rf"size\. \(current: 2, extended: {size}\)\.$",
        ):
            place.service.extend(CALLER, volume_id, size)
    place.set_status(volume_id, "backing-up")
    with pytest.raises(
        InvalidVolume,
        match=rf"^Invalid volume: Volume {volume_id} status must be '{{'status': 'available'}}' "
        r"to extend, currently backing-up\.$",
    ):
        place.service.extend(CALLER, volume_id, 3)


def test_a_failed_extension_leaves_the_volume_as_large_as_it_was(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    place.path(volume_id).unlink()
    place.service.extend(CALLER, volume_id, 3)
    place.work()
    row = place.service.show(volume_id)
    assert (row.status, row.size) == ("error_extending", 1)


def test_lists_are_filtered_sorted_and_counted(place: LocalPlace) -> None:
    names = ["b", "a", "c"]
    ids = {name: place.a_volume(name=name) for name in names}
    place.service.create(a_caller("other"), VolumeRequest(size_gib=1, name="x"))
    query = Query("p", limit=2, sort=(("name", True),))
    rows, count = place.service.find(query, with_count=True)
    assert ([row.name for row in rows], count) == (["a", "b"], 3)
    rows, count = place.service.find(
        Query("p", limit=2, marker=rows[-1].id, sort=(("name", True),))
    )
    assert ([row.id for row in rows], count) == ([ids["c"]], None)
    rows, _ = place.service.find(Query(None, limit=9, filters={"name": "x"}))
    assert [row.project_id for row in rows] == ["other"]


@pytest.mark.parametrize("call", ["revert", "delete"])
def test_who_does_something_to_snapshots_with_their_volume_holds_them(
    place: LocalPlace, call: str
) -> None:
    """SQLite has one writer at a time, others lock the rows that are asked for."""
    volume_id = place.a_volume()
    snapshot_id = place.a_snapshot(volume_id)
    locked: list[sa.Table] = []

    def note(_connection: object, statement: object, *_: object) -> None:
        if isinstance(statement, sa.Select) and statement._for_update_arg is not None:
            locked.extend(statement.get_final_froms())

    sa.event.listen(place.database.engine, "before_execute", note)
    if call == "revert":
        place.service.revert(CALLER, volume_id, snapshot_id)
    else:
        place.service.delete(CALLER, volume_id, cascade=True)
    assert locked == [tables.volumes, tables.snapshots]
