"""What a worker does to the bytes of our own volumes.  Each task may be repeated."""

from collections.abc import Callable
from typing import Any, Protocol

from emberkeep.db import volumes as table
from emberkeep.db.database import Database, Transaction
from emberkeep.volumes.errors import VolumeError
from emberkeep.volumes.local import GIB, LocalVolumes, snapshot_name


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


def run(
    job: Job,
    database: Database,
    volumes: LocalVolumes,
    *,
    hold: Finish,
    finish: Finish,
    checkpoint: Callable[[], None],
) -> None:
    """Do the job.  `hold` begins and `finish` ends the transaction that tells the outcome.

    What goes wrong with a volume is its status `error…`, not an exception.
    """
    done = _TASKS[job.kind](job, database, volumes, checkpoint)
    with database.writing() as tx:
        hold(tx)
        done(tx)
        finish(tx)


Task = Callable[[Job, Database, LocalVolumes, Callable[[], None]], Finish]


def _create_volume(
    job: Job, database: Database, volumes: LocalVolumes, checkpoint: Callable[[], None]
) -> Finish:
    with database.reading() as tx:
        row = table.get(tx, job.subject)
        source = table.get(tx, row.source_volid) if row is not None and row.source_volid else None
    if row is None:
        return _nothing
    try:
        driver = volumes.driver(row.backend)
        if row.snapshot_id:
            origin = driver.path(snapshot_name(row.snapshot_id))
        elif row.source_volid:
            if source is None:
                raise VolumeError(f"Volume {row.source_volid} could not be found.")
            origin = volumes.path_of(source)
        else:
            driver.create(row.id, row.size * GIB)
            return lambda tx: _settle(tx, job.subject, "available")
        size = row.size * GIB
        driver.copy(origin, row.id, size=size, copied=lambda _done, _total: checkpoint())
    except VolumeError:
        return lambda tx: _settle(tx, job.subject, "error")
    return lambda tx: _settle(tx, job.subject, "available")


def _delete_volume(
    job: Job, database: Database, volumes: LocalVolumes, _checkpoint: Callable[[], None]
) -> Finish:
    with database.reading() as tx:
        row = table.get(tx, job.subject)
    if row is not None and row.path is None:
        volumes.driver(row.backend).delete(row.id)
    return lambda tx: table.remove(tx, job.subject)


def _extend_volume(
    job: Job, database: Database, volumes: LocalVolumes, _checkpoint: Callable[[], None]
) -> Finish:
    size = int(job.arguments["size"])
    with database.reading() as tx:
        row = table.get(tx, job.subject)
    if row is None:
        return _nothing
    try:
        if row.path is not None:
            raise VolumeError("a volume that lies elsewhere is extended where it lies")
        volumes.driver(row.backend).extend(row.id, size * GIB)
    except VolumeError:
        return lambda tx: _settle(tx, job.subject, "error_extending")
    return lambda tx: _settle(tx, job.subject, "available", size=size)


def _create_snapshot(
    job: Job, database: Database, volumes: LocalVolumes, checkpoint: Callable[[], None]
) -> Finish:
    with database.reading() as tx:
        snapshot = table.get_snapshot(tx, job.subject)
        row = None if snapshot is None else table.get(tx, snapshot.volume_id)
    status = "error"
    if row is not None:
        try:
            volumes.driver(row.backend).copy(
                volumes.path_of(row),
                snapshot_name(job.subject),
                copied=lambda _done, _total: checkpoint(),
            )
            status = "available"
        except VolumeError:
            pass
    return lambda tx: _settle_snapshot(tx, job.subject, status)


def _delete_snapshot(
    job: Job, _database: Database, volumes: LocalVolumes, _checkpoint: Callable[[], None]
) -> Finish:
    volumes.driver(job.needs_backend or "").delete(snapshot_name(job.subject))
    return lambda tx: table.remove_snapshot(tx, job.subject)


def _settle(tx: Transaction, volume_id: str, status: str, **values: Any) -> None:
    table.change(tx, volume_id, when=("creating", "extending"), status=status, **values)


def _settle_snapshot(tx: Transaction, snapshot_id: str, status: str) -> None:
    table.change_snapshot(tx, snapshot_id, when=("creating",), status=status)


def _nothing(_tx: Transaction) -> None:
    pass


_TASKS: dict[str, Task] = {
    "create-volume": _create_volume,
    "delete-volume": _delete_volume,
    "extend-volume": _extend_volume,
    "create-snapshot": _create_snapshot,
    "delete-snapshot": _delete_snapshot,
}
KINDS = frozenset(_TASKS)


def fail(tx: Transaction, job: Job) -> None:
    """Say of what the job was about that it did not come to be what was asked."""
    match job.kind:
        case "create-volume" | "delete-volume":
            table.change(tx, job.subject, when=("creating", "deleting"), status="error")
        case "extend-volume":
            table.change(tx, job.subject, when=("extending",), status="error_extending")
        case _:
            table.change_snapshot(tx, job.subject, when=("creating", "deleting"), status="error")
