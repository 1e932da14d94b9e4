"""Messages as JSON."""

from typing import Any

from emberkeep.api.context import Call
from emberkeep.api.views.moments import moment
from emberkeep.backups import messages
from emberkeep.db.messages import Message


def item(message: Message, call: Call) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": message.id,
        "event_id": message.event_id,
        "user_message": messages.text(message),
        "message_level": message.message_level,
        "created_at": moment(message.created_at),
        "guaranteed_until": moment(message.expires_at),
        "request_id": message.request_id,
        "links": call.place.links("messages", message.id),
    }
    if message.resource_type:
        document["resource_type"] = message.resource_type
    if message.resource_uuid:
        document["resource_uuid"] = message.resource_uuid
    return document
