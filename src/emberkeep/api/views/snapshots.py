"""Snapshots as JSON: the summary, the reply to a create, and the detail."""

from typing import Any

from emberkeep.api.context import Call
from emberkeep.api.microversions import v3
from emberkeep.api.views.moments import moment
from emberkeep.db.volumes import SnapshotRow


def summary(snapshot: SnapshotRow, call: Call) -> dict[str, Any]:
    """An item of the short list: the same at every microversion."""
    return {
        "id": snapshot.id,
        "created_at": moment(snapshot.created_at),
        "updated_at": moment(snapshot.updated_at),
        "name": snapshot.name,
        "description": snapshot.description,
        "volume_id": snapshot.volume_id,
        "status": snapshot.status,
        "size": snapshot.size,
        "metadata": snapshot.metadata,
    }


def created(snapshot: SnapshotRow, call: Call) -> dict[str, Any]:
    """What create and update answer: the detail without the extended attributes."""
    document = summary(snapshot, call)
    if call.version >= v3(14):
        document["group_snapshot_id"] = None
    if call.version >= v3(41):
        document["user_id"] = snapshot.user_id
    if call.version >= v3(65):
        document["consumes_quota"] = True
    return document


def detail(snapshot: SnapshotRow, call: Call) -> dict[str, Any]:
    """Everything that the caller's version and policies show."""
    document = created(snapshot, call)
    if call.allows("volume_extension:extended_snapshot_attributes"):
        document["os-extended-snapshot-attributes:project_id"] = snapshot.project_id
        document["os-extended-snapshot-attributes:progress"] = snapshot.progress
    return document
