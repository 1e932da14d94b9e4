"""Statements about the volumes, snapshots and reservations that we keep ourselves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from emberkeep.db import paging
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.tables import projects, reservations, snapshots, volumes


@dataclass(frozen=True, slots=True)
class VolumeRow:
    """A row of `volumes`.  `size` is GiB; `path` is set for a volume that lies elsewhere."""

    id: str
    project_id: str
    user_id: str
    status: str
    previous_status: str | None
    name: str | None
    description: str | None
    metadata: dict[str, str]
    image_metadata: dict[str, str]
    bootable: bool
    size: int
    volume_type: str
    availability_zone: str
    backend: str
    path: str | None
    snapshot_id: str | None
    source_volid: str | None
    attach_status: str
    migration_status: str | None
    admin_metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A row of `snapshots`.  `size` is GiB."""

    id: str
    volume_id: str
    project_id: str
    user_id: str
    status: str
    name: str | None
    description: str | None
    metadata: dict[str, str]
    size: int
    progress: str
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """A row of `reservations`."""

    job_id: str
    volume_id: str
    snapshot_id: str | None
    purpose: str
    released: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project has; sizes in GiB."""

    volumes: int = 0
    volume_gigabytes: int = 0
    snapshots: int = 0
    snapshot_gigabytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def lock_project(tx: Transaction, project_id: str) -> None:
    """Let nobody else sum up this project's quota until the transaction ends."""
    locked = sa.select(projects).where(projects.c.id == project_id).with_for_update()
    if tx.row(locked) is not None:
        return
    tx.put(projects, {"id": project_id})
    tx.row(locked)  # somebody else's first request may have come in between


def usage(tx: Transaction, project_id: str) -> dict[str, Usage]:
    """What counts against the project's quota, by volume type: all that is not deleted."""
    found: dict[str, Usage] = {}
    count = sa.func.count()
    for table, kind, names in (
        (volumes, volumes, ("volumes", "volume_gigabytes")),
        (
            snapshots,
            snapshots.join(volumes, volumes.c.id == snapshots.c.volume_id),
            ("snapshots", "snapshot_gigabytes"),
        ),
    ):
        counted = (
            sa.select(volumes.c.volume_type, count, sa.func.sum(table.c.size))
            .select_from(kind)
            .where(table.c.project_id == project_id, sa.not_(table.c.deleted))
            .group_by(volumes.c.volume_type)
        )
        for volume_type, *values in tx.connection.execute(counted):
            one = Usage(**{name: int(value) for name, value in zip(names, values, strict=True)})
            found[volume_type] = found.get(volume_type, Usage()) + one
    return found


def allocated(tx: Transaction) -> dict[str, int]:
    """How many GiB of volumes there are on each back end."""
    summed = (
        sa.select(volumes.c.backend, sa.func.sum(volumes.c.size))
        .where(sa.not_(volumes.c.deleted))
        .group_by(volumes.c.backend)
    )
    return {backend: int(size) for backend, size in tx.connection.execute(summed)}


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is of volumes; `metadata` has each key's different values.  Sizes in GiB."""

    count: int
    size: int
    metadata: dict[str, list[str]]


def summary(tx: Transaction, project_id: str | None) -> Summary:
    """Of the project's volumes, or of all (None)."""
    mine = [sa.not_(volumes.c.deleted)]
    if project_id is not None:
        mine.append(volumes.c.project_id == project_id)
    total = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(volumes.c.size), 0))
    number, size = tx.connection.execute(total.where(*mine)).one()
    values: dict[str, set[str]] = {}
    for row in tx.rows(sa.select(volumes.c.metadata).where(*mine)):
        for key, value in row["metadata"].items():
            values.setdefault(key, set()).add(value)
    metadata = {key: sorted(values[key]) for key in sorted(values)}
    return Summary(int(number), int(size), metadata)


def insert(tx: Transaction, row: VolumeRow) -> None:
    tx.changed(sa.insert(volumes).values(_values(row)))


def get(tx: Transaction, volume_id: str, *, project_id: str | None = None) -> VolumeRow | None:
    """The volume that is not deleted, if it is of the project (None: of any)."""
    return _volume(tx, _one(volumes, volume_id, project_id))


def held(tx: Transaction, volume_id: str, *, project_id: str | None = None) -> VolumeRow | None:
    """The same, locked until the transaction ends."""
    return _volume(tx, _one(volumes, volume_id, project_id).with_for_update())


def volume_at(tx: Transaction, path: str) -> VolumeRow | None:
    """The volume that lies elsewhere, at `path`."""
    return _volume(tx, sa.select(volumes).where(volumes.c.path == path, sa.not_(volumes.c.deleted)))


def is_being_copied(tx: Transaction, volume_id: str) -> bool:
    """Whether a snapshot or a clone of the volume is yet to be made."""
    snapshot = sa.select(snapshots.c.id).where(
        snapshots.c.volume_id == volume_id,
        snapshots.c.status == "creating",
        sa.not_(snapshots.c.deleted),
    )
    return tx.row(snapshot) is not None or _is_origin(tx, volumes.c.source_volid, volume_id)


def is_being_restored(tx: Transaction, volume_id: str) -> bool:
    """Whether there is a job that may write a backup's bytes to the volume, whatever its status."""
    writing = sa.select(reservations.c.job_id).where(
        reservations.c.volume_id == volume_id,
        reservations.c.purpose.in_(("restore", "create")),
        reservations.c.released.is_(None),
    )
    return tx.row(writing) is not None


def is_snapshot_being_copied(tx: Transaction, snapshot_id: str) -> bool:
    """Whether a volume is yet to be made of the snapshot."""
    return _is_origin(tx, volumes.c.snapshot_id, snapshot_id)


def _is_origin(tx: Transaction, column: sa.Column[Any], origin_id: str) -> bool:
    waiting = sa.select(volumes.c.id).where(
        column == origin_id, volumes.c.status == "creating", sa.not_(volumes.c.deleted)
    )
    return tx.row(waiting) is not None


def page(tx: Transaction, query: Query) -> list[VolumeRow]:
    """A page of the volumes that are not deleted.  Raises what `paging.page` raises."""
    return [VolumeRow(**row) for row in tx.rows(paging.page(tx, volumes, query))]


def count(tx: Transaction, query: Query) -> int:
    return paging.count(tx, volumes, query)


def change(
    tx: Transaction, volume_id: str, *, when: Collection[str] | None = None, **values: Any
) -> bool:
    """Update the volume if its status is one of `when`; return whether it was."""
    mine = [volumes.c.id == volume_id, sa.not_(volumes.c.deleted)]
    if when is not None:
        mine.append(volumes.c.status.in_(when))
    values["updated_at"] = tx.now()
    return tx.changed(sa.update(volumes).where(*mine).values(values)) == 1


def remove(tx: Transaction, volume_id: str) -> None:
    change(tx, volume_id, status="deleted", deleted=True, deleted_at=tx.now())


def insert_snapshot(tx: Transaction, row: SnapshotRow) -> None:
    tx.changed(sa.insert(snapshots).values(_values(row)))


def get_snapshot(
    tx: Transaction, snapshot_id: str, *, project_id: str | None = None
) -> SnapshotRow | None:
    """The snapshot that is not deleted, if it is of the project (None: of any)."""
    return _snapshot(tx, _one(snapshots, snapshot_id, project_id))


def held_snapshot(
    tx: Transaction, snapshot_id: str, *, project_id: str | None = None
) -> SnapshotRow | None:
    """The same, locked until the transaction ends."""
    return _snapshot(tx, _one(snapshots, snapshot_id, project_id).with_for_update())


def held_snapshots(tx: Transaction, volume_id: str) -> list[SnapshotRow]:
    """The volume's snapshots, locked until the transaction ends; the volume is held before."""
    found = sa.select(snapshots).where(
        snapshots.c.volume_id == volume_id, sa.not_(snapshots.c.deleted)
    )
    return [SnapshotRow(**row) for row in tx.rows(found.with_for_update())]


def page_snapshots(tx: Transaction, query: Query) -> list[SnapshotRow]:
    """A page of the snapshots; they may be filtered by what is their volume's, too."""
    selected = paging.page(tx, snapshots, query, computed=_OF_THE_VOLUME)
    return [SnapshotRow(**row) for row in tx.rows(selected)]


def count_snapshots(tx: Transaction, query: Query) -> int:
    return paging.count(tx, snapshots, query, computed=_OF_THE_VOLUME)


_OF_THE_VOLUME = {
    name: sa.select(volumes.c[name])
    .where(volumes.c.id == snapshots.c.volume_id)
    .correlate(snapshots)
    .scalar_subquery()
    for name in ("availability_zone", "backend")
}


def change_snapshot(
    tx: Transaction, snapshot_id: str, *, when: Collection[str] | None = None, **values: Any
) -> bool:
    """Update the snapshot if its status is one of `when`; return whether it was."""
    mine = [snapshots.c.id == snapshot_id, sa.not_(snapshots.c.deleted)]
    if when is not None:
        mine.append(snapshots.c.status.in_(when))
    values["updated_at"] = tx.now()
    return tx.changed(sa.update(snapshots).where(*mine).values(values)) == 1


def remove_snapshot(tx: Transaction, snapshot_id: str) -> None:
    change_snapshot(tx, snapshot_id, status="deleted", deleted=True, deleted_at=tx.now())


def insert_reservation(tx: Transaction, row: ReservationRow) -> None:
    tx.changed(sa.insert(reservations).values(_values(row)))


def get_reservation(tx: Transaction, job_id: str) -> ReservationRow | None:
    row = tx.row(sa.select(reservations).where(reservations.c.job_id == job_id))
    return None if row is None else ReservationRow(**row)


def release(tx: Transaction, job_id: str, outcome: str) -> bool:
    """Mark the reservation as released; False if there is none, or it was before."""
    mine = (reservations.c.job_id == job_id, reservations.c.released.is_(None))
    return tx.changed(sa.update(reservations).where(*mine).values(released=outcome)) == 1


def _one(table: sa.Table, row_id: str, project_id: str | None) -> sa.Select[Any]:
    found = sa.select(table).where(table.c.id == row_id, sa.not_(table.c.deleted))
    return found if project_id is None else found.where(table.c.project_id == project_id)


def _volume(tx: Transaction, found: sa.Select[Any]) -> VolumeRow | None:
    row = tx.row(found)
    return None if row is None else VolumeRow(**row)


def _snapshot(tx: Transaction, found: sa.Select[Any]) -> SnapshotRow | None:
    row = tx.row(found)
    return None if row is None else SnapshotRow(**row)


def _values(row: VolumeRow | SnapshotRow | ReservationRow) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
