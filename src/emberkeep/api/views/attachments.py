"""Attachments as JSON: the summary, the detail, and the item in a volume's document."""

from typing import Any

from emberkeep.api.context import Call
from emberkeep.api.views.moments import moment
from emberkeep.db.attachments import AttachmentRow


def summary(attachment: AttachmentRow) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "status": attachment.attach_status,
        "instance": attachment.instance_uuid,
        "volume_id": attachment.volume_id,
    }


def detail(attachment: AttachmentRow) -> dict[str, Any]:
    return {
        **summary(attachment),
        "attached_at": moment(attachment.attach_time) or "",
        "detached_at": moment(attachment.detach_time) or "",
        "attach_mode": attachment.attach_mode,
        "connection_info": attachment.connection_info,
    }


def of_volume(attachment: AttachmentRow, call: Call) -> dict[str, Any]:
    """What a volume's document says of it; the host is an admin's business."""
    return {
        "id": attachment.volume_id,
        "attachment_id": attachment.id,
        "volume_id": attachment.volume_id,
        "server_id": attachment.instance_uuid,
        "host_name": attachment.attached_host if call.caller.is_admin else None,
        "device": attachment.mountpoint,
        "attached_at": moment(attachment.attach_time),
    }
