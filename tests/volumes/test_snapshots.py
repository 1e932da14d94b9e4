"""What callers may ask of snapshots, and what they are told."""

import pytest
from tests.volumes.kept import CALLER, LocalPlace, snapshot

from emberkeep.volumes.errors import (
    InvalidSnapshot,
    InvalidVolume,
    SnapshotNotFound,
    WrongStatus,
)


def test_a_snapshot_is_creating_until_it_is_made(place: LocalPlace) -> None:
    volume_id = place.a_volume(size_gib=2, data=b"data")
    snapshot_id = snapshot(place, volume_id)
    row = place.service.show_snapshot(snapshot_id)
    assert (row.status, row.size, row.volume_id) == ("creating", 2, volume_id)
    assert (row.name, row.description, row.metadata) == ("s", "d", {"k": "v"})
    place.work()
    assert place.service.show_snapshot(snapshot_id).status == "available"
    assert place.files() == sorted([volume_id, f"snapshot-{snapshot_id}"])
    place.service.delete_snapshot(CALLER, snapshot_id)
    place.work()
    assert place.files() == [volume_id]
    with pytest.raises(SnapshotNotFound):
        place.service.show_snapshot(snapshot_id)


@pytest.mark.parametrize(
    ("status", "in_use", "text"),
    [
        ("error", False, "The snapshot cannot be created when the volume is in error status."),
        (
            "maintenance",
            True,
            "The snapshot cannot be created when the volume is in maintenance mode.",
        ),
        ("in-use", False, "{} status must be available, but current status is: in-use."),
        (
            "backing-up",
            True,
            "{} status must be available, in-use, but current status is: backing-up.",
        ),
    ],
)
def test_a_volume_that_cannot_be_snapshotted_says_why(
    place: LocalPlace, status: str, in_use: bool, text: str
) -> None:
    volume_id = place.a_volume(status=status)
    with pytest.raises(InvalidVolume) as caught:
        snapshot(place, volume_id, in_use=in_use)
    assert str(caught.value) == "Invalid volume: " + text.format(f"Volume {volume_id}")


def test_a_volume_in_use_is_snapshotted_if_that_is_asked_for(place: LocalPlace) -> None:
    volume_id = place.a_volume(status="in-use")
    snapshot_id = snapshot(place, volume_id, in_use=True)
    place.work()
    assert place.service.show_snapshot(snapshot_id).status == "available"


def test_a_snapshot_of_a_volume_whose_file_is_gone_is_in_error(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    snapshot_id = snapshot(place, volume_id)
    place.path(volume_id).unlink()
    place.work()
    assert place.service.show_snapshot(snapshot_id).status == "error"


@pytest.mark.parametrize("status", ["creating", "backing-up", "deleting"])
def test_a_snapshot_that_is_busy_is_not_deleted(place: LocalPlace, status: str) -> None:
    snapshot_id = place.a_snapshot(place.a_volume(), status=status)
    with pytest.raises(
        InvalidSnapshot,
        match="^Invalid snapshot: Snapshot status must be available or error and must not be "
        r"part of a group\.$",
    ):
        place.service.delete_snapshot(CALLER, snapshot_id)


def test_nothing_is_restored_to_a_volume_whose_snapshot_is_yet_to_be_made(
    place: LocalPlace,
) -> None:
    volume_id = place.a_volume()
    snapshot(place, volume_id)

    def reserve() -> None:
        with place.transaction() as tx:
            place.service.reserve_for_restore("job", volume_id, tx=tx)

    with pytest.raises(WrongStatus, match="Volume to be restored to must be available"):
        reserve()
    place.work()
    reserve()
