"""What lists of volumes, snapshots and attachments are filtered and sorted by, as Cinder reads it.

The columns are Cinder's.  Those that we keep have names of our own; of the others every row has the
same value.  Of volumes most values are Python's literals: `[...]` is a choice, `None` is null, and
`{'key': 'value'}` is what metadata must hold.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call
from emberkeep.api.faults import BadRequest
from emberkeep.api.listing import STRICT_FILTERS, Filters, Wanted
from emberkeep.api.microversions import Microversion, v3
from emberkeep.api.validation import boolean, boolean_word
from emberkeep.db.attachments import COLUMNS as ATTACHMENT_COLUMNS
from emberkeep.db.paging import COMPARISONS, Query
from emberkeep.volumes.local import DEFAULT_TYPE_ID

_UNKNOWN = "no such column"
_LARGEST = 2**63  # number
_LONGEST = 500  # list
_VISIBLE_ADMIN_METADATA = ("readonly", "attached_mode")
_BOOLEANS = ("bootable", "multiattach", "shared_targets", "deleted")
_STRICT_BOOLEANS = v3(2)
# Below 3.31 a filter is ignored before the version that it came with.
_VOLUME_FILTERS_SINCE: Mapping[str, Microversion] = {
    "glance_metadata": v3(4),
    "group_id": v3(10),
    "created_at": v3(60),
    "updated_at": v3(60),
    "use_quota": v3(65),
}
_SNAPSHOT_FILTERS_SINCE: Mapping[str, Microversion] = {"metadata": v3(22), "use_quota": v3(65)}


@dataclass(frozen=True, slots=True)
class Columns:
    """`ours`: our name of a column of Cinder's; `fixed`: the value that all rows have in it."""

    ours: Mapping[str, str]
    fixed: Mapping[str, object]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.ours) | frozenset(self.fixed)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_COMMON = _same(
    "id", "project_id", "user_id", "status", "metadata", "created_at", "updated_at", "deleted_at",
    "deleted",
)  # fmt: skip
_NULL_OF_VOLUMES = (
    "_name_id", "ec2_id", "cluster_name", "scheduled_at", "launched_at", "terminated_at",
    "provider_location", "provider_auth", "provider_geometry", "provider_id", "encryption_key_id",
    "consistencygroup_id", "group_id", "replication_status", "replication_extended_status",
    "replication_driver_data", "service_uuid",
)  # fmt: skip
VOLUME = Columns(
    ours={
        **_COMMON,
        **_same(
            "size", "availability_zone", "snapshot_id", "source_volid", "bootable",
            "previous_status", "attach_status", "migration_status", "admin_metadata",
        ),
        "display_name": "name",
        "display_description": "description",
        "glance_metadata": "image_metadata",
        "host": "backend",
    },
    fixed={
        **dict.fromkeys(_NULL_OF_VOLUMES),
        "multiattach": False,
        "shared_targets": False,
        "use_quota": True,
        "volume_type_id": DEFAULT_TYPE_ID,
    },
)  # fmt: skip
SNAPSHOT = Columns(
    ours={
        **_COMMON,
        **_same("volume_id", "progress", "availability_zone"),
        "display_name": "name",
        "display_description": "description",
        "volume_size": "size",
        "host": "backend",
    },
    fixed={
        **dict.fromkeys(
            ("scheduled_at", "provider_location", "provider_id", "provider_auth", "cluster_name",
             "encryption_key_id", "cgsnapshot_id", "group_snapshot_id")
        ),
        "use_quota": True,
        "volume_type_id": DEFAULT_TYPE_ID,
    },
)  # fmt: skip
ATTACHMENT = Columns(ours=_same(*ATTACHMENT_COLUMNS), fixed={"volume_host": None})


def renamed(call: Call) -> dict[str, str]:
    """The columns that are called otherwise in queries."""
    strict = {"consumes_quota": "use_quota"} if call.version >= STRICT_FILTERS else {}
    return {"name": "display_name", **strict}


def of_volumes(call: Call, filters: Filters) -> dict[str, Any]:
    """The values to filter volumes by.  Raises `BadRequest`."""
    values: dict[str, Any] = _known(call, filters, _VOLUME_FILTERS_SINCE)
    if "use_quota" in values:
        values["use_quota"] = boolean("use_quota", values["use_quota"])
    for name in ("created_at", "updated_at"):
        if name in values:
            values[name] = _moments(values[name])
    for name, value in values.items():
        if name in _BOOLEANS:
            values[name] = _column_boolean(call, name, value)
        elif name != "display_name" and isinstance(value, str):
            values[name] = _literal(value)
    metadata = values.get("metadata")
    if isinstance(metadata, dict):
        admin = {key: metadata[key] for key in _VISIBLE_ADMIN_METADATA if key in metadata}
        values["metadata"] = {key: metadata[key] for key in metadata if key not in admin}
        if admin:
            values["admin_metadata"] = admin
    return values


def of_snapshots(call: Call, filters: Filters) -> dict[str, Any]:
    """The values to filter snapshots by.  Raises `BadRequest`."""
    values: dict[str, Any] = _known(call, filters, _SNAPSHOT_FILTERS_SINCE)
    if "metadata" in values:
        values["metadata"] = _literal(values["metadata"])
    if "use_quota" in values:
        values["use_quota"] = boolean("use_quota", values["use_quota"])
    return values


def query(call: Call, asked: Wanted, columns: Columns, values: Mapping[str, Any]) -> Query | None:
    """What to look for; None if no row can be like that."""
    like = asked.filters.like
    if asked.filters.doubled or not {*values, *like} <= columns.names:
        return None
    for name, fixed in columns.fixed.items():
        if name in values and not _is(fixed, values[name]):
            return None
        if name in like and like[name] not in str(fixed or ""):
            return None
    found = listing.query_for(call, asked)
    own = {"project_id"} if found.project_id is not None else set()
    return replace(
        found,
        sort=_sort(found.sort, columns),
        filters={
            columns.ours[name]: value
            for name, value in values.items()
            if name in columns.ours and name not in own
        },
        like={columns.ours[name]: like[name] for name in like if name in columns.ours},
    )


def _known(call: Call, filters: Filters, since: Mapping[str, Microversion]) -> dict[str, str]:
    if call.version >= STRICT_FILTERS:
        return dict(filters.equal)
    return {
        name: value
        for name, value in filters.equal.items()
        if name not in since or call.version >= since[name]
    }


def _sort(sort: tuple[tuple[str, bool], ...], columns: Columns) -> tuple[tuple[str, bool], ...]:
    """The same in our columns; by what is fixed nothing is sorted."""
    kept = tuple(
        (columns.ours.get(name, _UNKNOWN), ascending)
        for name, ascending in sort
        if name not in columns.fixed
    )
    return kept or (("created_at", sort[0][1]),)


def _is(fixed: object, value: Any) -> bool:
    return value == fixed or (isinstance(value, list | tuple | set) and fixed in value)


def _column_boolean(call: Call, name: str, text: str) -> bool:
    """Before 3.2 every text that is not false, and not empty, is true."""
    if call.version < _STRICT_BOOLEANS:
        return text not in ("False", "false", "FALSE", "")
    word = boolean_word(text)
    if word is None:
        raise BadRequest(f"Invalid input received: '{name} = {text}'")
    return word


def _moments(text: str) -> dict[str, datetime]:
    """`gt:2026-01-01T00:00:00,lte:…` as what a time is compared with."""
    moments: dict[str, datetime] = {}
    for item in text.split(","):
        how, _, when = item.partition(":")
        if how not in COMPARISONS:
            raise BadRequest(f"Invalid {how} operator")
        when = when or how
        try:
            moment = datetime.fromisoformat(when)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise BadRequest(f"Invalid {when} value") from None
        moments[how] = moment
    return moments


def _literal(text: str) -> Any:
    """The value of a Python literal; the text if it is none, or none that a column can hold."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if _holdable(value) else text


def _holdable(value: Any) -> bool:
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        case bool() | float() | None:
            return True
        case int():
            return abs(value) < _LARGEST
        case dict():
            parts = [*value, *value.values()]
        case list() | tuple() | set():
            parts = list(value)
        case _:
            return False
    plain = all(isinstance(part, str | bool | int | float | None) for part in parts)
    return plain and len(parts) <= _LONGEST and all(_holdable(part) for part in parts)
