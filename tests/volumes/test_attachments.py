"""Who has a volume: one at a time, and never what a job has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.stage import at_once
from tests.volumes.kept import CALLER, LocalPlace

from emberkeep.db.attachments import AttachmentRow
from emberkeep.volumes.errors import AttachmentNotFound, InvalidVolume

THREADS = 8
CONNECTOR = {"host": "h", "mountpoint": "/dev/vdb"}
SERVER = "5e851e08-3d6f-46cf-8343-71edee572b0a"


def attach(
    place: LocalPlace, volume_id: str, *, server: str | None = None, connect: bool = False
) -> AttachmentRow:
    return place.service.create_attachment(
        CALLER,
        volume_id,
        instance_uuid=server,
        connector=CONNECTOR if connect else None,
        mode=None,
    )


def attached(place: LocalPlace, volume_id: str, *, server: str | None = None) -> str:
    made = attach(place, volume_id, server=server, connect=True)
    place.service.complete_attachment(CALLER, made.id)
    return made.id


def ended(place: LocalPlace, *calls: Callable[[], object]) -> list[str]:
    """What became of the calls, made at once: the names of their errors, or of their results."""
    return sorted(type(end).__name__ for end in at_once(*calls))


def test_of_many_who_attach_at_once_one_gets_the_volume(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    found = ended(place, *[lambda: attach(place, volume_id)] * THREADS)
    assert found == ["AttachmentRow"] + ["InvalidVolume"] * (THREADS - 1)
    assert place.status(volume_id) == "reserved"


def test_of_many_who_attach_by_actions_at_once_one_gets_the_volume(place: LocalPlace) -> None:
    volume_id = place.a_volume()

    def by_host(name: str) -> Callable[[], None]:
        return lambda: place.service.attach(
            CALLER, volume_id, instance_uuid=None, host_name=name, mountpoint="/x", mode="rw"
        )

    found = ended(place, *[by_host(f"host{number}") for number in range(THREADS)])
    assert found == ["InvalidVolume"] * (THREADS - 1) + ["NoneType"]
    assert len(place.service.attached([volume_id])[volume_id]) == 1


def test_a_volume_is_attached_or_deleted_but_not_both(place: LocalPlace) -> None:
    for _ in range(4):
        volume_id = place.a_volume()
        found = ended(
            place,
            lambda v=volume_id: attach(place, v),  # type: ignore[misc]
            lambda v=volume_id: place.service.delete(CALLER, v),  # type: ignore[misc]
        )
        assert found in (["AttachmentRow", "InvalidVolume"], ["InvalidVolume", "NoneType"])
        reserved = "AttachmentRow" in found
        assert place.status(volume_id) == ("reserved" if reserved else "deleting")


def test_of_many_who_detach_at_once_one_is_right(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    attachment_id = attached(place, volume_id)
    calls = [lambda: place.service.delete_attachment(CALLER, attachment_id)] * THREADS
    assert ended(place, *calls) == ["AttachmentNotFound"] * (THREADS - 1) + ["list"]
    assert place.status(volume_id) == "available"


def test_the_connection_says_where_the_bytes_are(place: LocalPlace) -> None:
    volume_id = place.a_volume(data=b"data")
    info = attach(place, volume_id, connect=True).connection_info
    assert info["driver_volume_type"] == "local"
    assert Path(info["device_path"]).read_bytes()[:4] == b"data"


def test_the_strongest_attachment_says_what_a_volume_is(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    first = attach(place, volume_id, server=SERVER).id
    second = attach(place, volume_id, server=SERVER).id
    assert place.status(volume_id) == "reserved"
    place.service.complete_attachment(CALLER, second)
    assert place.status(volume_id) == "in-use"
    (left,) = place.service.delete_attachment(CALLER, first)
    assert (left.id, place.status(volume_id)) == (second, "in-use")
    assert place.service.delete_attachment(CALLER, second) == []
    assert place.status(volume_id) == "available"


@pytest.mark.parametrize("status", ["backing-up", "extending"])
def test_a_volume_that_a_job_gives_back_is_then_what_its_attachments_say(
    place: LocalPlace, status: str
) -> None:
    volume_id = place.a_volume()
    attachment_id = attached(place, volume_id)
    place.set_status(volume_id, status)
    place.service.delete_attachment(CALLER, attachment_id)
    assert place.status(volume_id) == status
    assert place.service.show(volume_id).previous_status == "available"


@pytest.mark.parametrize("status", ["creating", "deleting", "restoring-backup"])
def test_a_volume_that_a_job_has_stays_its(place: LocalPlace, status: str) -> None:
    volume_id = place.a_volume()
    attachment_id = attach(place, volume_id).id
    place.set_status(volume_id, status)
    place.service.complete_attachment(CALLER, attachment_id)
    assert place.status(volume_id) == status
    place.service.delete_attachment(CALLER, attachment_id)
    assert place.status(volume_id) == status


def test_a_volume_in_use_is_extended_and_in_use_again(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    attached(place, volume_id)
    with pytest.raises(InvalidVolume):
        place.service.extend(CALLER, volume_id, 2)
    place.service.extend(CALLER, volume_id, 2, in_use=True)
    assert place.status(volume_id) == "extending"
    place.work()
    assert (place.status(volume_id), place.service.show(volume_id).size) == ("in-use", 2)


def test_a_volume_that_was_detached_while_it_was_extended_is_available(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    attachment_id = attached(place, volume_id)
    place.service.extend(CALLER, volume_id, 2, in_use=True)
    place.service.delete_attachment(CALLER, attachment_id)
    place.work()
    assert place.status(volume_id) == "available"


def test_with_a_volume_its_attachments_go(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    attachment_id = attach(place, volume_id).id
    place.service.delete(CALLER, volume_id, force=True)
    place.work()
    with pytest.raises(AttachmentNotFound):
        place.service.show_attachment(attachment_id, project_id=None)


def test_two_connections_at_once_are_one(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    ids = [attach(place, volume_id, server=SERVER).id for _ in range(2)]

    def connect(attachment_id: str) -> Callable[[], Any]:
        return lambda: place.service.update_attachment(CALLER, attachment_id, CONNECTOR)

    assert ended(place, *map(connect, ids)) == ["AttachmentRow", "Conflict"]
