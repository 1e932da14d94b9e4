"""What a worker does to our own volumes may be done again."""

from tests.volumes.kept import CALLER, LocalPlace, create, snapshot


def test_every_task_may_be_repeated(place: LocalPlace) -> None:
    volume_id = create(place, size_gib=1)
    (task,) = place.tasks
    place.work()
    place.path(volume_id).write_bytes(b"written since")
    place.run(task)
    assert place.path(volume_id).read_bytes() == b"written since"
    assert place.status(volume_id) == "available"
    snapshot_id = snapshot(place, volume_id)
    (task,) = place.tasks
    place.work()
    place.path(volume_id).write_bytes(b"later")
    place.run(task)
    assert (place.directory / "az1" / f"snapshot-{snapshot_id}").read_bytes() == b"written since"
    place.service.delete(CALLER, volume_id, cascade=True)
    repeated = list(place.tasks)
    place.work()
    for task in repeated:
        place.run(task)
    assert place.files() == []
