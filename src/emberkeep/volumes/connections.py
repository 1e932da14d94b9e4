"""The older way to use a volume: actions by which a server takes it and gives it back."""

import re
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db import attachments
from emberkeep.db import volumes as table
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes import attaching
from emberkeep.volumes.attachments import Attachments
from emberkeep.volumes.errors import Conflict, InvalidInput, InvalidVolume
from emberkeep.volumes.kept import GIVEN_BACK, TAKEN, is_migrating

_OF_A_SERVER = "ConflictNovaUsingAttachment: Detach volume from instance  using the Compute API"
_ACTIONS = "volume_extension:volume_actions:"


class Connections(Attachments):
    """All calls raise `VolumeNotFound`, then what `authorize` raises."""

    def reserve(self, caller: Caller, volume_id: str) -> None:
        """`available` -> `attaching`.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._for(tx, caller, volume_id, "reserve")
            if row.status != "available":
                raise InvalidVolume(
                    "Invalid volume: Volume status must be available to reserve, but the status "
                    f"is {row.status}."
                )
            table.change(tx, volume_id, status="attaching")

    def unreserve(self, caller: Caller, volume_id: str) -> None:
        """`attaching` -> what its attachments say; else nothing."""
        with self._database.writing() as tx:
            self._unreserve(tx, self._for(tx, caller, volume_id, "unreserve"))

    @staticmethod
    def _unreserve(tx: Transaction, row: VolumeRow) -> None:
        if row.status == "attaching":
            used = attachments.of_volumes(tx, [row.id])
            table.change(tx, row.id, status="in-use" if used else "available")

    def begin_detaching(self, caller: Caller, volume_id: str) -> None:
        """`in-use` -> `detaching`.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._for(tx, caller, volume_id, "begin_detaching")
            if is_migrating(row):
                return
            if (row.status, row.attach_status) != ("in-use", "attached"):
                raise InvalidVolume(
                    "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and "
                    "attach_status must be 'attached' to detach."
                )
            table.change(tx, volume_id, status="detaching")

    def roll_detaching(self, caller: Caller, volume_id: str) -> None:
        """`detaching` -> `in-use`; else nothing."""
        with self._database.writing() as tx:
            self._for(tx, caller, volume_id, "roll_detaching")
            table.change(tx, volume_id, when=("detaching",), status="in-use")

    def attach(
        self,
        caller: Caller,
        volume_id: str,
        *,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> None:
        """Make the volume `in-use` by a server or a host.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._for(tx, caller, volume_id, "attach")
            if row.status == "maintenance":
                raise InvalidVolume(
                    "Invalid volume: The volume cannot be attached in maintenance mode."
                )
            admin_metadata = {"readonly": "False", **row.admin_metadata}
            if admin_metadata["readonly"] == "True" and mode != "ro":
                raise InvalidVolume(f"Invalid attaching mode '{mode}' for volume {volume_id}.")
            host = None if host_name is None else _sanitized(host_name)
            _check_may_attach(row, mode)
            if _known(attachments.of_volumes(tx, [volume_id]), instance_uuid, host):
                table.change(tx, volume_id, status="in-use", admin_metadata=admin_metadata)
                return
            if row.status == "in-use" and not row.migration_status:
                raise InvalidVolume(
                    "Invalid volume: volume is already attached and multiple attachments are not "
                    "enabled"
                )
            attaching.reserve(
                tx,
                row,
                instance_uuid=instance_uuid,
                attach_status="attached",
                attach_mode=mode,
                attached_host=host,
                mountpoint=mountpoint,
                attach_time=tx.now(),
            )
            admin_metadata["attached_mode"] = mode
            attaching.mark(tx, row, "attached", admin_metadata=admin_metadata)

    def detach(self, caller: Caller, volume_id: str, attachment_id: str | None) -> None:
        """End an attachment: this one, or the only one.

        Raises `InvalidInput`, `Conflict`, `InvalidVolume`.
        """
        with self._database.writing() as tx:
            self._detach(tx, self._for(tx, caller, volume_id, "detach"), attachment_id)

    def force_detach(self, caller: Caller, volume_id: str, attachment_id: str | None) -> None:
        """The same, and whatever connection there is, for an operator."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            for rule in (
                "volume_extension:volume_admin_actions:force_detach",
                _ACTIONS + "terminate_connection",
                _ACTIONS + "unreserve",
                _ACTIONS + "detach",
            ):
                caller.authorize(rule, row.project_id)
            self._detach(tx, row, attachment_id)

    @staticmethod
    def _detach(tx: Transaction, row: VolumeRow, attachment_id: str | None) -> None:
        known = attachments.of_volumes(tx, [row.id])
        if attachment_id is not None:
            other = attachments.get(tx, attachment_id)
            ours = other is not None and other.project_id == row.project_id
            if other is not None and ours and other.volume_id != row.id:
                raise InvalidInput("Invalid input received: Mismatched volume and attachment")
            ended = [found for found in known if found.id == attachment_id]
        else:
            ended = known
        if len(ended) > 1 or (attachment_id is not None and not ended):
            raise Conflict(_OF_A_SERVER)
        if row.status == "maintenance":
            raise InvalidVolume(
                "Invalid volume: The volume cannot be detached in maintenance mode."
            )
        for found in ended:
            attachments.remove(tx, found.id)
        attaching.settle(tx, row)

    def initialize_connection(
        self, caller: Caller, volume_id: str, connector: dict[str, Any]
    ) -> dict[str, Any]:
        """How the bytes can be reached.  Raises `InvalidVolume`."""
        with self._database.reading() as tx:
            row = self._row(tx, volume_id, caller.sees)
        caller.authorize(_ACTIONS + "initialize_connection", row.project_id)
        if row.status == "maintenance":
            raise InvalidVolume(
                "Invalid volume: The volume connection cannot be initialized in maintenance mode."
            )
        multipath = connector.get("enforce_multipath", False)
        connection = self.connection(row, None)
        connection["data"]["enforce_multipath"] = multipath
        return {**connection, "enforce_multipath": multipath}

    def terminate_connection(self, caller: Caller, volume_id: str) -> None:
        """Nobody reaches the bytes any more.  Raises `Conflict`."""
        with self._database.writing() as tx:
            row = self._for(tx, caller, volume_id, "terminate_connection")
            if len(attachments.of_volumes(tx, [volume_id])) > 1:
                raise Conflict(_OF_A_SERVER)
            caller.authorize(_ACTIONS + "unreserve", row.project_id)
            self._unreserve(tx, row)

    def _for(self, tx: Transaction, caller: Caller, volume_id: str, action: str) -> VolumeRow:
        """The volume, held, if the caller may do this with it."""
        row = self._held(tx, volume_id, caller.sees)
        caller.authorize(_ACTIONS + action, row.project_id)
        return row


def _check_may_attach(row: VolumeRow, mode: str) -> None:
    if row.status in GIVEN_BACK | TAKEN:
        raise InvalidVolume(
            f"Invalid volume: Volume {row.id} can not be attached while it is {row.status}."
        )
    if row.status == "attaching" and row.admin_metadata.get("attached_mode") not in (None, mode):
        raise InvalidVolume("Invalid volume: being attached by different mode")


def _known(
    rows: list[AttachmentRow], instance_uuid: str | None, host: str | None
) -> AttachmentRow | None:
    """The attachment of this server, or of this host where there is no server."""
    for row in rows:
        if instance_uuid is not None and row.instance_uuid == instance_uuid:
            return row
        if instance_uuid is None and row.attached_host == host:
            return row
    return None


def _sanitized(host: str) -> str:
    """A host's name as Cinder keeps it."""
    latin = host.encode("latin-1", "ignore").decode("latin-1")
    return re.sub(r"[^\w.-]+", "", re.sub("[ _]", "-", latin)).lower().strip(".-")
