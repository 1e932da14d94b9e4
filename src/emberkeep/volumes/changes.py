"""What callers change of a volume's row, without touching its bytes."""

from collections.abc import Mapping
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db import attachments
from emberkeep.db import volumes as table
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes import attaching
from emberkeep.volumes.errors import InvalidInput, InvalidVolume
from emberkeep.volumes.kept import Kept


class Changes(Kept):
    """All calls raise `VolumeNotFound`, then what `authorize` raises."""

    def update(self, caller: Caller, volume_id: str, changes: Mapping[str, Any]) -> VolumeRow:
        """Give the volume these values of columns; its row.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:update", row.project_id)
            if row.status == "maintenance":
                raise InvalidVolume(
                    "Invalid volume: The volume cannot be updated during maintenance."
                )
            if changes:
                table.change(tx, volume_id, **changes)
            return self._row(tx, volume_id)

    def set_readonly(self, caller: Caller, volume_id: str, *, readonly: bool) -> None:
        """Say whether servers may only read the volume.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:update_readonly_flag", row.project_id)
            if row.status != "available":
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be available to update "
                    f"readonly flag, but current status is: {row.status}."
                )
            metadata = {**row.admin_metadata, "readonly": str(readonly)}
            table.change(tx, volume_id, admin_metadata=metadata)

    def reset_status(
        self,
        caller: Caller,
        volume_id: str,
        *,
        status: str | None,
        attach_status: str | None,
        migration_status: str | None,
    ) -> None:
        """Say what the volume is, for an operator who knows better; None: as it is.

        `detached` takes all attachments away, which makes the volume available, whatever `status`
        says.  Raises `InvalidInput`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume_extension:volume_admin_actions:reset_status", row.project_id)
            known = attachments.of_volumes(tx, [volume_id])
            if status == "deleting":
                raise InvalidInput("Cannot reset-state to deleting")
            if status == "in-use" and not known:
                raise InvalidInput(
                    "Cannot reset-state to in-use because volume does not have any attachments."
                )
            changes: dict[str, Any] = {}
            if status is not None:
                changes["status"] = status
            if attach_status is not None:
                changes["attach_status"] = attach_status
            if migration_status is not None:
                changes["migration_status"] = (
                    None if migration_status == "none" else migration_status
                )
            table.change(tx, volume_id, **changes)
            if attach_status == "detached":
                attaching.detach_all(tx, self._row(tx, volume_id), known)
