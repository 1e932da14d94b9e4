"""Exported records: a backup's row as text that another service, or this one later, can import.

`backup_url` is base64 of JSON with Cinder's keys.  `service_metadata` says where the data is:
emberkeep:1:<repository>:<domain>:<root>:<SHA-256 of the root>.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emberkeep.backups.errors import InvalidInput, Malformed
from emberkeep.db.backups import COLUMNS, Backup

SERVICE = "cinder.backup.drivers.emberkeep.EmberkeepBackupDriver"
NO_VOLUME = "00000000-0000-0000-0000-000000000000"

_PLACE = re.compile(r"emberkeep:1:([0-9a-f]{32}):([0-9a-f]{32}):([0-9a-f]{32}):([0-9a-f]{64})")
_MOMENTS = ("data_timestamp", "created_at", "updated_at", "deleted_at")
_KEYS = (
    "id", "user_id", "project_id", "volume_id", "host", "availability_zone", "container",
    "parent_id", "status", "fail_reason", "size", "display_name", "display_description",
    "service_metadata", "service", "object_count", "temp_volume_id", "temp_snapshot_id",
    "num_dependent_backups", "snapshot_id", "data_timestamp", "restore_volume_id", "metadata",
    "encryption_key_id", "created_at", "updated_at", "deleted_at", "deleted",
)  # fmt: skip
_REQUIRED = (
    "display_name", "display_description", "container", "size", "service_metadata",
    "object_count", "id",
)  # fmt: skip
_NOT_COPIED = frozenset(
    (
        "id",
        "user_id",
        "project_id",
        "deleted_at",
        "deleted",
        "fail_reason",
        "status",
        "service",
        "availability_zone",
        "host",
        "driver_info",
    )
)


@dataclass(frozen=True, slots=True)
class Record:
    """What is exported and imported."""

    backup_service: str
    backup_url: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup's data is."""

    repository: str
    domain: str
    root: str
    sha256: str

    def __str__(self) -> str:
        return f"emberkeep:1:{self.repository}:{self.domain}:{self.root}:{self.sha256}"

    @classmethod
    def parse(cls, text: object) -> "Place | None":
        """The place that `service_metadata` names; None if it is none of ours."""
        found = _PLACE.fullmatch(text) if isinstance(text, str) else None
        return None if found is None else cls(*found.groups())


def encode(backup: Backup) -> Record:
    """The backup's record; moments are RFC 3339 with whole seconds."""
    content: dict[str, Any] = {"driver_info": {}}
    for key in _KEYS:
        value = getattr(backup, key)
        content[key] = value.strftime("%Y-%m-%dT%H:%M:%SZ") if key in _MOMENTS and value else value
    text = json.dumps(content).encode()
    return Record(backup.service or SERVICE, base64.b64encode(text).decode())


def decode(record: Record) -> Mapping[str, Any]:
    """The record's content, with an id and a size that are some.

    Raises `InvalidInput` or `Malformed`, in Cinder's words.
    """
    try:
        content = json.loads(base64.b64decode(record.backup_url))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidInput("Can't parse backup record.") from error
    if isinstance(content, int | float | None):
        raise Malformed
    if "id" not in content:  # a list or a string may have it, too
        raise InvalidInput("Provided backup record is missing an id")
    if "size" not in content:
        raise InvalidInput("Provided backup record is missing size attribute")
    if not isinstance(content, dict):
        raise Malformed
    size = content["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Malformed
    if not _is_canonical(content["id"]):
        raise InvalidInput("The id of a backup record must be a UUID")
    return content


def missing(content: Mapping[str, Any]) -> list[str]:
    """The keys without which nothing can be imported."""
    return [key for key in _REQUIRED if key not in content]


def columns(content: Mapping[str, Any]) -> dict[str, Any]:
    """What of the content goes into the row.  Raises `ValueError` if it does not fit there."""
    found = {}
    for key in _KEYS:
        if key in _NOT_COPIED or key not in content or key not in COLUMNS:
            continue
        value = content[key]
        if key in _MOMENTS:
            value = _moment(value)
        elif key == "metadata":
            value = _metadata(value)
        elif key in ("size", "object_count", "num_dependent_backups"):
            value = _count(value or 0)
        elif value is not None and not _is_text(value):
            raise ValueError(f"{key} is no text of at most 255 letters")
        found[key] = value
    if not found.get("volume_id"):
        found["volume_id"] = NO_VOLUME
    if found.get("created_at") is None:
        found.pop("created_at", None)
    return found


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=None) - (moment.utcoffset() or moment.min - moment.min)


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(map(_is_text, (*value, *value.values()))):
        raise ValueError("metadata is no object of texts of at most 255 letters")
    return value


def _is_text(value: object) -> bool:
    """Whether it fits into a column: half of a surrogate pair fits nowhere."""
    return (
        isinstance(value, str)
        and len(value) <= 255
        and not any("\ud800" <= letter <= "\udfff" for letter in value)
    )


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is no count")
    return value


def _is_canonical(value: object) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
