"""How a volume's status follows from its attachments.

The strongest attachment says it: attached, then attaching, detaching, reserved.  A job that has the
volume keeps it: then what the volume is given back as changes, and not what it is.

All functions want the volume's row held.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from emberkeep.db import attachments
from emberkeep.db import volumes as table
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.kept import GIVEN_BACK, TAKEN

_STATUS = {"attached": "in-use", "detached": "available"}  # others are called alike


def reserve(
    tx: Transaction, volume: VolumeRow, *, instance_uuid: str | None, **given: Any
) -> AttachmentRow:
    """Add an attachment; the volume's status is the caller's business."""
    row = AttachmentRow(
        **{
            "id": str(uuid.uuid4()),
            "volume_id": volume.id,
            "project_id": volume.project_id,
            "attach_status": "reserved",
            "attach_mode": None,
            "instance_uuid": instance_uuid,
            "attached_host": None,
            "mountpoint": None,
            "connector": None,
            "connection_info": {},
            "attach_time": None,
            "detach_time": None,
            "created_at": tx.now(),
            "updated_at": None,
            "deleted_at": None,
            "deleted": False,
            **given,
        }
    )
    attachments.insert(tx, row)
    return row


def mark(tx: Transaction, volume: VolumeRow, attach_status: str, **changes: Any) -> None:
    """Say of the volume that an attachment of it is in this status."""
    status = _STATUS.get(attach_status, attach_status)
    table.change(tx, volume.id, attach_status=attach_status, **_status(volume, status), **changes)


def settle(tx: Transaction, volume: VolumeRow) -> list[AttachmentRow]:
    """Let the volume's status follow from the attachments that are left, and return these."""
    left = attachments.of_volumes(tx, [volume.id])
    found = (row.attach_status for row in left if not row.attach_status.startswith("error_"))
    attach_status = min(found, default="detached")
    admin_metadata = {
        key: value for key, value in volume.admin_metadata.items() if key != "attached_mode"
    }
    if attach_status == "detached" and not _ends_as_available(volume):
        table.change(tx, volume.id, attach_status=attach_status, admin_metadata=admin_metadata)
    else:
        mark(tx, volume, attach_status, admin_metadata=admin_metadata)
    return left


def detach_all(tx: Transaction, volume: VolumeRow, known: Sequence[AttachmentRow]) -> None:
    attachments.remove_all(tx, volume.id)
    if known:
        settle(tx, volume)


def _ends_as_available(volume: VolumeRow) -> bool:
    return volume.migration_status in ("success", "error") or (
        not volume.migration_status and volume.status != "uploading"
    )


def _status(volume: VolumeRow, status: str) -> dict[str, str]:
    if volume.status in GIVEN_BACK:
        return {"previous_status": status}
    return {} if volume.status in TAKEN else {"status": status}
