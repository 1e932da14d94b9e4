"""What callers ask of snapshots, with Cinder's checks, in Cinder's order, in Cinder's words."""

import uuid
from collections.abc import Mapping

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.paging import Query
from emberkeep.db.volumes import SnapshotRow
from emberkeep.volumes import quota
from emberkeep.volumes.errors import InvalidSnapshot, InvalidVolume
from emberkeep.volumes.kept import Kept, is_migrating

_ADMIN_ACTIONS = "volume_extension:snapshot_admin_actions"
_DELETABLE = ("available", "error")
_NEVER = {
    "maintenance": "The snapshot cannot be created when the volume is in maintenance mode.",
    "error": "The snapshot cannot be created when the volume is in error status.",
}


class Snapshots(Kept):
    """Snapshots as the API has them."""

    def show_snapshot(self, snapshot_id: str, *, project_id: str | None = None) -> SnapshotRow:
        """The snapshot's row.  Raises `SnapshotNotFound`."""
        with self._database.reading() as tx:
            return self._snapshot_row(tx, snapshot_id, project_id)

    def find_snapshots(
        self, query: Query, *, with_count: bool = False
    ) -> tuple[list[SnapshotRow], int | None]:
        """A page of snapshots, and how many there are in all pages if that is asked for."""
        with self._database.reading() as tx:
            count = table.count_snapshots(tx, query) if with_count else None
            return table.page_snapshots(tx, query), count

    def create_snapshot(
        self,
        caller: Caller,
        volume_id: str,
        *,
        name: str | None,
        description: str | None,
        metadata: Mapping[str, str],
        in_use: bool,
    ) -> SnapshotRow:
        """Snapshot the `available` volume, or an `in-use` one if `in_use`.

        It is `creating` until a worker has made it; nothing is restored to the volume until then.
        Raises `VolumeNotFound`, what `authorize` raises, `InvalidVolume`, `VolumeQuotaExceeded`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:create_snapshot", row.project_id)
            allowed = ("available", "in-use") if in_use else ("available",)
            never = _NEVER.get(row.status)
            if is_migrating(row) and row.status != "maintenance":
                never = "Snapshot cannot be created while volume is migrating."
            if never is not None:
                raise InvalidVolume(f"Invalid volume: {never}")
            status = self._true_status(tx, row)
            if status not in allowed:
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be {', '.join(allowed)}, "
                    f"but current status is: {status}."
                )
            quota.check_snapshot(tx, self._quotas, caller.project_id, row.size)
            snapshot = SnapshotRow(
                id=str(uuid.uuid4()),
                volume_id=volume_id,
                project_id=caller.project_id,
                user_id=caller.user_id,
                status="creating",
                name=name,
                description=description,
                metadata=dict(metadata),
                size=row.size,
                progress="0%",
                created_at=tx.now(),
                updated_at=None,
                deleted_at=None,
                deleted=False,
            )
            table.insert_snapshot(tx, snapshot)
            self._task(tx, "create-snapshot", snapshot.id, row)
        self._wake()
        return snapshot

    def update_snapshot(
        self, caller: Caller, snapshot_id: str, changes: Mapping[str, str | None]
    ) -> SnapshotRow:
        """Give the snapshot these values of columns; its row.

        Raises `SnapshotNotFound`, what `authorize` raises.
        """
        with self._database.writing() as tx:
            snapshot = self._held_snapshot(tx, snapshot_id, caller.sees)
            for rule in ("volume:get_snapshot", "volume:update_snapshot"):
                caller.authorize(rule, snapshot.project_id)
            table.change_snapshot(tx, snapshot_id, **changes)
            return self._snapshot_row(tx, snapshot_id)

    def delete_snapshot(self, caller: Caller, snapshot_id: str, *, force: bool = False) -> None:
        """Delete the snapshot; not one that a volume is being made of, unless by `force`.

        Raises `SnapshotNotFound`, what `authorize` raises, `InvalidSnapshot`.
        """
        with self._database.writing() as tx:
            snapshot = self._held_snapshot(tx, snapshot_id, caller.sees)
            caller.authorize("volume:get_snapshot", snapshot.project_id)
            if force:
                caller.authorize(f"{_ADMIN_ACTIONS}:force_delete", snapshot.project_id)
            caller.authorize("volume:delete_snapshot", snapshot.project_id)
            copied = table.is_snapshot_being_copied(tx, snapshot_id)
            if not force and (snapshot.status not in _DELETABLE or copied):
                raise InvalidSnapshot(
                    "Invalid snapshot: Snapshot status must be available or error and must not be "
                    "part of a group."
                )
            table.change_snapshot(tx, snapshot_id, status="deleting")
            self._task(tx, "delete-snapshot", snapshot_id, self._row(tx, snapshot.volume_id))
        self._wake()

    def reset_snapshot_status(self, caller: Caller, snapshot_id: str, status: str) -> None:
        """Say what the snapshot is, for an operator who knows better.

        Raises `SnapshotNotFound`, what `authorize` raises.
        """
        with self._database.writing() as tx:
            snapshot = self._held_snapshot(tx, snapshot_id, caller.sees)
            caller.authorize(f"{_ADMIN_ACTIONS}:reset_status", snapshot.project_id)
            table.change_snapshot(tx, snapshot_id, status=status)
