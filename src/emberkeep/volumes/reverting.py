"""A volume as its latest snapshot has it."""

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import SnapshotRow, VolumeRow
from emberkeep.volumes.errors import Conflict, InvalidInput
from emberkeep.volumes.kept import Kept


class Reverting(Kept):
    """What was written since a snapshot is undone."""

    def revert(self, caller: Caller, volume_id: str, snapshot_id: str | None) -> None:
        """Give the `available` volume its latest snapshot's bytes; it is `reverting` until it has.

        Raises `VolumeNotFound`, `InvalidInput`, what `authorize` raises, `Conflict`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:get", row.project_id)
            snapshot = _latest(tx, row, snapshot_id)
            caller.authorize("volume:revert_to_snapshot", row.project_id)
            if self._true_status(tx, row) != "available" or table.is_being_copied(tx, volume_id):
                raise Conflict(
                    f"Invalid volume: {_can_not(row, snapshot)} Volume's status must be "
                    "'available'."
                )
            if snapshot.status != "available":
                raise Conflict(
                    f"Invalid snapshot: {_can_not(row, snapshot)} Snapshot's status must be "
                    "'available'."
                )
            table.change(tx, volume_id, status="reverting", previous_status=row.status)
            table.change_snapshot(tx, snapshot.id, status="restoring")
            self._task(tx, "revert-volume", volume_id, row, snapshot_id=snapshot.id)
        self._wake()


def _latest(tx: Transaction, row: VolumeRow, snapshot_id: str | None) -> SnapshotRow:
    """The volume's latest snapshot, which must be the one that is named, and as large."""
    snapshots = table.held_snapshots(tx, row.id)
    if not snapshots:
        raise InvalidInput(f"Volume {row.id} doesn't have any snapshots.")
    latest = max(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.id))
    if latest.id != snapshot_id:
        raise InvalidInput(
            f"Specified snapshot {snapshot_id} is None or not the latest one of volume {row.id}."
        )
    if latest.size != row.size:
        raise InvalidInput(
            f"{_can_not(row, latest)} The volume size must be equal to the snapshot size."
        )
    return latest


def _can_not(row: VolumeRow, snapshot: SnapshotRow) -> str:
    return f"Can't revert volume {row.id} to its latest snapshot {snapshot.id}."
