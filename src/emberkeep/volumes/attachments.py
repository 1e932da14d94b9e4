"""Attachments: a volume is reserved, connected and used, as the API has it from 3.27 on."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db import attachments as table
from emberkeep.db import volumes
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes import attaching
from emberkeep.volumes.errors import AttachmentNotFound, Conflict, InvalidVolume, VolumeError
from emberkeep.volumes.kept import Kept

_FREE = ("available", "downloading")
_LONGEST = 255


class Attachments(Kept):
    """Attachments as the API has them.  One that is not there: `AttachmentNotFound`."""

    def attached(self, volume_ids: Collection[str]) -> dict[str, list[AttachmentRow]]:
        """By whom the volumes are used now."""
        found: dict[str, list[AttachmentRow]] = {volume_id: [] for volume_id in volume_ids}
        with self._database.reading() as tx:
            for row in table.of_volumes(tx, volume_ids):
                if row.attach_status == "attached":
                    found[row.volume_id].append(row)
        return found

    def show_attachment(self, attachment_id: str, *, project_id: str | None) -> AttachmentRow:
        with self._database.reading() as tx:
            return self._attachment(tx, attachment_id, project_id)

    def find_attachments(self, query: Query) -> list[AttachmentRow]:
        with self._database.reading() as tx:
            return table.page(tx, query)

    def create_attachment(
        self,
        caller: Caller,
        volume_id: str,
        *,
        instance_uuid: str | None,
        connector: Mapping[str, Any] | None,
        mode: str | None,
    ) -> AttachmentRow:
        """Reserve the volume, and connect it if there is a `connector`.

        A server may have a volume twice, when it moves to another host.
        Raises `VolumeNotFound`, what `authorize` raises, `InvalidVolume`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:attachment_create", row.project_id)
            if "error" in row.status:
                raise InvalidVolume(
                    "Invalid volume: Volume attachments can not be created if the volume is in an "
                    f"error state. The Volume {volume_id} currently has a status of: {row.status} "
                )
            if row.status not in _FREE and not self._is_its_own(tx, row, instance_uuid):
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be {' or '.join(_FREE)} to "
                    f"reserve, but the current status is {row.status}."
                )
            if row.status in _FREE:
                volumes.change(tx, volume_id, status="reserved")
            if row.admin_metadata.get("readonly") == "True":
                mode = "ro"
            made = attaching.reserve(tx, row, instance_uuid=instance_uuid, attach_mode=mode)
            if connector:
                self._connect(tx, self._row(tx, volume_id), made, connector)
            return _as_before(self._attachment(tx, made.id), made)

    @staticmethod
    def _is_its_own(tx: Transaction, row: VolumeRow, instance_uuid: str | None) -> bool:
        if not instance_uuid or row.status not in ("in-use", "reserved"):
            return False
        known = table.of_volumes(tx, [row.id])
        return any(attachment.instance_uuid == instance_uuid for attachment in known)

    def update_attachment(
        self, caller: Caller, attachment_id: str, connector: Mapping[str, Any]
    ) -> AttachmentRow:
        """Connect what was reserved; the attachment, its status as it was.

        Raises what `authorize` raises, `Conflict`.
        """
        with self._database.writing() as tx:
            found, row = self._both(tx, caller, attachment_id)
            caller.authorize("volume:attachment_update", found.project_id)
            if "error" in row.status:
                raise Conflict(
                    "Resource conflict: Volume attachments can not be updated if the volume is in "
                    f"an error state. The Volume {row.id} currently has a status of: {row.status} "
                )
            known = table.of_volumes(tx, [row.id])
            if len(known) > 1 and any(other.connection_info for other in known):
                raise Conflict(
                    f"Resource conflict: duplicate connectors detected on volume {row.id}"
                )
            self._connect(tx, row, found, connector)
            return _as_before(self._attachment(tx, attachment_id), found)

    def complete_attachment(self, caller: Caller, attachment_id: str) -> None:
        """The server has the volume now.  Raises what `authorize` raises."""
        with self._database.writing() as tx:
            found, row = self._both(tx, caller, attachment_id)
            caller.authorize("volume:attachment_complete", found.project_id)
            table.change(tx, attachment_id, attach_status="attached")
            attaching.mark(tx, row, "attached")

    def delete_attachment(self, caller: Caller, attachment_id: str) -> list[AttachmentRow]:
        """Take the volume back; the attachments that are left.  Raises what `authorize` raises."""
        with self._database.writing() as tx:
            found, row = self._both(tx, caller, attachment_id)
            caller.authorize("volume:attachment_delete", found.project_id)
            table.remove(tx, attachment_id)
            return attaching.settle(tx, row)

    def connection(self, row: VolumeRow, mode: str | None) -> dict[str, Any]:
        """How the host that has the volume's bytes reaches them: os-brick's local connector."""
        data: dict[str, Any] = {
            "volume_id": row.id,
            "qos_specs": None,
            "access_mode": mode or row.admin_metadata.get("attached_mode") or _mode(row),
            "encrypted": False,
            "cacheable": False,
        }
        with suppress(VolumeError):  # a path means nothing where the volume is not
            data["device_path"] = str(self.path_of(row))
        return {"driver_volume_type": "local", "data": data}

    def _connect(
        self,
        tx: Transaction,
        row: VolumeRow,
        attachment: AttachmentRow,
        connector: Mapping[str, Any],
    ) -> None:
        mode = attachment.attach_mode or ("ro" if connector.get("mode") == "ro" else _mode(row))
        connection = self.connection(row, mode)
        table.change(
            tx,
            attachment.id,
            attach_status="attaching",
            attach_mode=mode,
            attach_time=tx.now(),
            attached_host=_text(connector.get("host")) or "",
            mountpoint=_text(connector.get("mountpoint")) or "na",
            connector={**connector, "mode": mode},
            connection_info={
                **connection.pop("data"),
                **connection,
                "attachment_id": attachment.id,
                "enforce_multipath": connector.get("enforce_multipath", False),
            },
        )
        attaching.mark(tx, row, "attaching")

    def _attachment(
        self, tx: Transaction, attachment_id: str, project_id: str | None = None
    ) -> AttachmentRow:
        row = table.get(tx, attachment_id, project_id=project_id)
        if row is None:
            raise AttachmentNotFound(attachment_id)
        return row

    def _both(
        self, tx: Transaction, caller: Caller, attachment_id: str
    ) -> tuple[AttachmentRow, VolumeRow]:
        """The attachment and its volume, which is held before anything of them counts."""
        found = self._attachment(tx, attachment_id, caller.sees)
        row = self._held(tx, found.volume_id)
        return self._attachment(tx, attachment_id, caller.sees), row


def _as_before(after: AttachmentRow, before: AttachmentRow) -> AttachmentRow:
    """What Cinder shows of a connection that was made just now: how it began."""
    return replace(after, attach_status=before.attach_status, attach_time=before.attach_time)


def _mode(row: VolumeRow) -> str:
    return "ro" if row.admin_metadata.get("readonly") == "True" else "rw"


def _text(value: Any) -> str | None:
    """What a client says of itself, as far as a column takes it."""
    return value[:_LONGEST] if isinstance(value, str) else None
