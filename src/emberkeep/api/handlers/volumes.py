"""Volumes: those that the service keeps itself, as Cinder shows them."""

from collections.abc import Callable
from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest, NotFound
from emberkeep.api.listing import Listable
from emberkeep.api.validation import boolean_word
from emberkeep.api.views import volumes as views
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.errors import VolumeNotFound
from emberkeep.volumes.local import VolumeRequest
from emberkeep.volumes.service import NewVolume

COLUMNS = frozenset(VolumeRow.__slots__)
FILTERS = (
    "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id",
    "size", "created_at", "updated_at", "consumes_quota",
)  # fmt: skip
LISTABLE = Listable(
    rule="volume:get_all",
    columns=COLUMNS,
    renamed={"display_name": "name"},
    always=FILTERS,
    allowed=FILTERS,
)
NO_IMAGE = "Invalid image identifier or unable to access requested image."
NO_MULTIATTACH = (
    "multiattach parameter has been removed. The default behavior is to use multiattach enabled "
    "volume types. Contact your administrator to create a multiattach enabled volume type and "
    "use it to create multiattach volumes."
)
ONE_SOURCE = (
    "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
)
LARGEST_SIZE = 2147483647  # GiB
INVALID_SORT_KEY = "Invalid input received: Invalid sort key"


def index(core: Core, call: Call) -> Reply:
    return _list(core, call, ("volumes",), views.summary)


def detail(core: Core, call: Call) -> Reply:
    return _list(core, call, ("volumes", "detail"), views.detail)


def show(core: Core, call: Call) -> Reply:
    return Reply(200, {"volume": views.detail(look_up(core, call, call.parameters["id"]), call)})


def look_up(core: Core, call: Call, volume_id: str) -> VolumeRow:
    """The volume.  A denial of `volume:get`, too, reads as if there were none."""
    if not call.allows("volume:get"):
        raise VolumeNotFound(volume_id)
    return core.volumes.show(volume_id, project_id=call.caller.sees)


def create(core: Core, call: Call) -> Reply:
    """Make a volume: empty, from a snapshot, from another volume, or from a backup.

    The order of the checks is the contract's: everything that is named is looked up, then the
    policy, then whether it fits together.
    """
    wanted: dict[str, Any] = call.body["volume"]
    _look_up_sources(core, call, wanted)
    call.caller.authorize("volume:create", None)
    size = _size(wanted.get("size"))
    backup_id = wanted.get("backup_id")
    if backup_id is None:
        volume = core.volumes.create(call.caller, _request(wanted, size))
    else:
        volume_id = core.backups.create_volume(
            call.caller, backup_id, _from_backup(call, wanted, size)
        )
        volume = core.volumes.show(volume_id)
    return Reply(202, {"volume": views.created(volume, call)})


def delete(core: Core, call: Call) -> Reply:
    cascade = _flag(call, "cascade")
    core.volumes.delete(call.caller, call.parameters["id"], cascade=cascade)
    return Reply(202, bare=True)


def _look_up_sources(core: Core, call: Call, wanted: dict[str, Any]) -> None:
    """Raise for the first thing that is named and not there, then for what is not supported."""
    core.volumes.check_type(wanted.get("volume_type"))
    snapshot_id, source_id = wanted.get("snapshot_id"), wanted.get("source_volid")
    if snapshot_id is not None:
        core.volumes.show_snapshot(snapshot_id, project_id=call.caller.sees)
    if source_id is not None:
        look_up(core, call, source_id)
    for key in ("consistencygroup_id", "group_id"):
        if wanted.get(key) is not None:
            raise NotFound(f"Group {wanted[key]} could not be found.")
    if wanted.get("imageRef") or wanted.get("image_id"):
        raise BadRequest(NO_IMAGE)
    if (backup_id := wanted.get("backup_id")) is not None:
        core.backups.show(call.caller, backup_id)
    if "multiattach" in wanted and boolean_word(str(wanted["multiattach"])):
        raise BadRequest(NO_MULTIATTACH)
    if backup_id is not None and (snapshot_id or source_id):
        call.caller.authorize("volume:create", None)
        raise BadRequest(ONE_SOURCE)


def _size(given: int | str | None) -> int | None:
    """GiB; None where the source's size is meant."""
    if given is None:
        return None
    digits = str(given).strip()
    size = int(digits) if len(digits) <= len(str(LARGEST_SIZE)) else LARGEST_SIZE + 1
    if size < 1:
        raise BadRequest(
            f"Invalid input received: Volume size '{given}' must be an integer and greater than 0"
        )
    if size > LARGEST_SIZE:
        raise BadRequest
    return size


def _request(wanted: dict[str, Any], size: int | None) -> VolumeRequest:
    return VolumeRequest(
        size_gib=size,
        name=_text(wanted, "name"),
        description=_text(wanted, "description"),
        metadata=wanted.get("metadata"),
        volume_type=wanted.get("volume_type"),
        snapshot_id=wanted.get("snapshot_id"),
        source_volid=wanted.get("source_volid"),
        availability_zone=wanted.get("availability_zone"),
    )


def _from_backup(call: Call, wanted: dict[str, Any], size: int | None) -> NewVolume:
    return NewVolume(
        project_id=call.caller.project_id,
        user_id=call.caller.user_id,
        size_gib=size or 0,
        name=_text(wanted, "name"),
        description=_text(wanted, "description"),
        metadata=wanted.get("metadata") or {},
        availability_zone=wanted.get("availability_zone"),
        volume_type=wanted.get("volume_type"),
    )


def _text(wanted: dict[str, Any], key: str) -> str | None:
    """The trimmed text under this key or under its older name."""
    text: str | None = wanted[key] if key in wanted else wanted.get(f"display_{key}")
    return None if text is None else text.strip()


def _flag(call: Call, name: str) -> bool:
    text = dict(reversed(call.query)).get(name)
    if text is None:
        return False
    word = boolean_word(text)
    if word is None:
        raise BadRequest(f"Value '{text}' for '{name}' is not a boolean.")
    return word


def _list(
    core: Core,
    call: Call,
    path: tuple[str, ...],
    view: Callable[[VolumeRow, Call], dict[str, Any]],
) -> Reply:
    asked = listing.wanted(call, LISTABLE, largest=core.settings.osapi_max_limit)
    rows: list[VolumeRow] = []
    count = 0 if asked.with_count else None
    if not asked.matches_nothing(COLUMNS):
        try:
            query = listing.query_for(call, asked)
            rows, count = core.volumes.find(query, with_count=asked.with_count)
        except MarkerNotFound as error:
            raise VolumeNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise BadRequest(INVALID_SORT_KEY) from error
    items = [view(row, call) for row in rows]
    return Reply(200, listing.document(call, asked, path, items, count))
