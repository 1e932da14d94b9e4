"""What a worker does to the bytes of our own volumes.

Each task may be repeated, and may be run by two workers at once if one of them lost its lease: a
file that is there is whole, so who comes second keeps it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from emberkeep.db import attachments
from emberkeep.db import volumes as table
from emberkeep.db.database import Database, Transaction
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.errors import VolumeError
from emberkeep.volumes.kept import GIB, Kept, snapshot_name


class Job(Protocol):
    """What a task needs to know of its job."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def needs_backend(self) -> str | None: ...
    @property
    def arguments(self) -> Any: ...


Finish = Callable[[Transaction], object]
Checkpoint = Callable[[], None]
Task = Callable[[Job, Database, Kept, Checkpoint], Finish]


def run(
    job: Job,
    database: Database,
    volumes: Kept,
    *,
    hold: Finish,
    finish: Finish,
    checkpoint: Checkpoint,
) -> None:
    """Do the job.  `hold` begins and `finish` ends the transaction that tells the outcome.

    Raises `VolumeError`, and what `checkpoint` raises; then `fail` tells the outcome, unless there
    is to be another attempt.
    """
    done = _TASKS[job.kind](job, database, volumes, checkpoint)
    with database.writing() as tx:
        hold(tx)
        done(tx)
        finish(tx)


def fail(tx: Transaction, job: Job) -> None:
    """Say of what the job was about that it did not come to be what was asked."""
    match job.kind:
        case "create-volume" | "delete-volume":
            table.change(tx, job.subject, when=("creating", "deleting"), status="error")
        case "extend-volume":
            before = int(job.arguments["before"])
            table.change(
                tx, job.subject, when=("extending",), status="error_extending", size=before
            )
        case "revert-volume":
            table.change(tx, job.subject, when=("reverting",), status="error")
            _give_snapshot_back(tx, job)
        case _:
            table.change_snapshot(tx, job.subject, when=("creating", "deleting"), status="error")


def _create_volume(job: Job, database: Database, volumes: Kept, checkpoint: Checkpoint) -> Finish:
    with database.reading() as tx:
        row = table.get(tx, job.subject)
        source = table.get(tx, row.source_volid) if row is not None and row.source_volid else None
    if row is None:
        return _nothing
    driver, size = volumes.driver(row.backend), row.size * GIB
    if row.snapshot_id is not None:
        origin = volumes.snapshot_path(row.snapshot_id, _backend_of(database, row))
    elif source is not None:
        origin = volumes.path_of(source)
    elif row.source_volid is not None:
        raise VolumeError(f"Volume {row.source_volid} could not be found.")
    else:
        driver.create(row.id, size)
        origin = None
    if origin is not None:
        driver.copy(origin, row.id, size=size, copied=lambda _done, _total: checkpoint())
    volumes.leave_nothing(driver, job.subject)
    return lambda tx: table.change(tx, job.subject, when=("creating",), status="available")


def _backend_of(database: Database, row: VolumeRow) -> str:
    """The back end of the snapshot that the volume is made of: its own, or another zone's."""
    with database.reading() as tx:
        snapshot = table.get_snapshot(tx, row.snapshot_id or "")
        origin = None if snapshot is None else table.get(tx, snapshot.volume_id)
    return row.backend if origin is None else origin.backend


def _delete_volume(job: Job, database: Database, volumes: Kept, _checkpoint: Checkpoint) -> Finish:
    with database.reading() as tx:
        row = table.get(tx, job.subject)
    if row is not None and row.path is None:
        volumes.driver(row.backend).delete(row.id)
    return lambda tx: _remove_volume(tx, job.subject)


def _remove_volume(tx: Transaction, volume_id: str) -> None:
    attachments.remove_all(tx, volume_id)
    table.remove(tx, volume_id)


def _extend_volume(job: Job, database: Database, volumes: Kept, _checkpoint: Checkpoint) -> Finish:
    size = int(job.arguments["size"])
    with database.reading() as tx:
        row = table.get(tx, job.subject)
    if row is None:
        return _nothing
    if row.path is not None:
        raise VolumeError(f"{row.path} is not ours; a volume that lies elsewhere is not extended")
    volumes.driver(row.backend).extend(row.id, size * GIB)
    return lambda tx: _give_back(tx, job.subject)


def _give_back(tx: Transaction, volume_id: str) -> None:
    """A volume that was extended is again what it was, or what its attachments made it since."""
    row = table.held(tx, volume_id)
    if row is not None:
        status = row.previous_status or "available"
        table.change(tx, volume_id, when=("extending",), status=status)


def _revert_volume(job: Job, database: Database, volumes: Kept, checkpoint: Checkpoint) -> Finish:
    """Copy the snapshot beside the volume, which keeps its bytes until the copy is whole."""
    snapshot_id = str(job.arguments["snapshot_id"])
    with database.reading() as tx:
        row = table.get(tx, job.subject)
    if row is None or row.status != "reverting":
        return lambda tx: _give_snapshot_back(tx, job)
    if row.path is not None:
        raise VolumeError(f"{row.path} is not ours; a volume that lies elsewhere is not reverted")
    driver = volumes.driver(row.backend)

    def may_replace() -> bool:
        checkpoint()  # not after the lease: somebody may have written since
        with database.reading() as tx:
            now = table.get(tx, job.subject)
        return now is not None and now.status == "reverting"  # else somebody may have it by now

    driver.replace(
        row.id,
        volumes.snapshot_path(snapshot_id, row.backend),
        size=row.size * GIB,
        copied=lambda _done, _total: checkpoint(),
        may_replace=may_replace,
    )
    volumes.leave_nothing(driver, row.id)

    def done(tx: Transaction) -> None:
        table.change(tx, job.subject, when=("reverting",), status="available")
        _give_snapshot_back(tx, job)

    return done


def _give_snapshot_back(tx: Transaction, job: Job) -> None:
    snapshot_id = str(job.arguments["snapshot_id"])
    table.change_snapshot(tx, snapshot_id, when=("restoring",), status="available")


def _create_snapshot(job: Job, database: Database, volumes: Kept, checkpoint: Checkpoint) -> Finish:
    with database.reading() as tx:
        snapshot = table.get_snapshot(tx, job.subject)
        row = None if snapshot is None else table.get(tx, snapshot.volume_id)
    if snapshot is None:
        return _nothing
    if row is None:
        raise VolumeError("The volume of the snapshot could not be found.")
    driver = volumes.driver(row.backend)
    driver.copy(
        volumes.path_of(row),
        snapshot_name(job.subject),
        copied=lambda _done, _total: checkpoint(),
    )
    with database.reading() as tx:
        snapshot = table.get_snapshot(tx, job.subject)
    if snapshot is None or snapshot.status == "deleting":  # by force, meanwhile
        driver.delete(snapshot_name(job.subject))
    return lambda tx: table.change_snapshot(
        tx, job.subject, when=("creating",), status="available", progress="100%"
    )


def _delete_snapshot(
    job: Job, _database: Database, volumes: Kept, _checkpoint: Checkpoint
) -> Finish:
    volumes.driver(job.needs_backend or "").delete(snapshot_name(job.subject))
    return lambda tx: table.remove_snapshot(tx, job.subject)


def _nothing(_tx: Transaction) -> None:
    pass


_TASKS: dict[str, Task] = {
    "create-volume": _create_volume,
    "delete-volume": _delete_volume,
    "extend-volume": _extend_volume,
    "revert-volume": _revert_volume,
    "create-snapshot": _create_snapshot,
    "delete-snapshot": _delete_snapshot,
}
KINDS = frozenset(_TASKS)
