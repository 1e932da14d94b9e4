"""Volumes: those that the service keeps itself, as Cinder shows them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from emberkeep.api import filtering, listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest, NotFound
from emberkeep.api.listing import Listable
from emberkeep.api.microversions import v3
from emberkeep.api.validation import boolean, is_true, number
from emberkeep.api.views import volumes as views
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.errors import VolumeNotFound
from emberkeep.volumes.local import VolumeRequest
from emberkeep.volumes.service import NewVolume

BY_FORCE = v3(23)
NO_IMAGE = "Invalid image identifier or unable to access requested image."
NO_MULTIATTACH = (
    "multiattach parameter has been removed. The default behavior is to use multiattach enabled "
    "volume types. Contact your administrator to create a multiattach enabled volume type and "
    "use it to create multiattach volumes."
)
ONE_SOURCE = (
    "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
)
INVALID_SORT_KEY = "Invalid input received: Invalid sort key"

View = Callable[[VolumeRow, Call, Sequence[AttachmentRow]], dict[str, Any]]


def index(core: Core, call: Call) -> Reply:
    return _list(core, call, ("volumes",), lambda row, call, _: views.summary(row, call))


def detail(core: Core, call: Call) -> Reply:
    return _list(core, call, ("volumes", "detail"), views.detail)


def summary(core: Core, call: Call) -> Reply:
    asks = call.caller.is_admin and listing.flag(call, "all_tenants")
    found = core.volumes.summary(call.caller, everywhere=asks)
    return Reply(200, {"volume-summary": views.quick(found, call)})


def show(core: Core, call: Call) -> Reply:
    row = look_up(core, call, call.parameters["id"])
    return Reply(200, {"volume": views.detail(row, call, _attached(core, row))})


def look_up(core: Core, call: Call, volume_id: str) -> VolumeRow:
    """The volume.  A denial of `volume:get`, too, reads as if there were none."""
    row = core.volumes.show(volume_id, project_id=call.caller.sees)
    if not call.allows("volume:get", row.project_id):
        raise VolumeNotFound(volume_id)
    return row


def create(core: Core, call: Call) -> Reply:
    """Make a volume: empty, from a snapshot, from another volume, or from a backup.

    The order of the checks is Cinder's: everything that is named is looked up, then the
    policy, then whether it fits together.
    """
    wanted: dict[str, Any] = call.body["volume"]
    _look_up_sources(core, call, wanted)
    call.caller.authorize("volume:create", None)
    size = None if wanted.get("size") is None else number(wanted["size"])
    backup_id = wanted.get("backup_id")
    if not backup_id:
        volume = core.volumes.create(call.caller, _request(wanted, size))
    elif wanted.get("snapshot_id") or wanted.get("source_volid"):
        raise BadRequest(ONE_SOURCE)
    else:
        volume_id = core.backups.create_volume(
            call.caller, backup_id, _from_backup(call, wanted, size)
        )
        volume = core.volumes.show(volume_id)
    return Reply(202, {"volume": views.created(volume, call)})


def update(core: Core, call: Call) -> Reply:
    wanted: dict[str, Any] = call.body["volume"]
    look_up(core, call, call.parameters["id"])
    row = core.volumes.update(call.caller, call.parameters["id"], texts(wanted) | metadata(wanted))
    return Reply(200, {"volume": views.created(row, call, _attached(core, row))})


def delete(core: Core, call: Call) -> Reply:
    cascade = listing.flag(call, "cascade")
    force = call.version >= BY_FORCE and listing.flag(call, "force")
    row = look_up(core, call, call.parameters["id"])
    if force:
        call.caller.authorize("volume:force_delete", row.project_id)
    core.volumes.delete(call.caller, row.id, cascade=cascade, force=force)
    return Reply(202, bare=True)


def texts(wanted: dict[str, Any]) -> dict[str, str | None]:
    """The trimmed name and description that are given, each under its name or an older one."""
    found: dict[str, str | None] = {}
    for key in ("name", "description"):
        for given in (key, f"display_{key}"):
            if given in wanted and key not in found:
                text = wanted[given]
                found[key] = None if text is None else text.strip()
    return found


def metadata(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": wanted["metadata"]} if "metadata" in wanted else {}


def _look_up_sources(core: Core, call: Call, wanted: dict[str, Any]) -> None:
    """Raise for the first thing that is named and not there, then for what is not supported."""
    core.volumes.check_type(wanted.get("volume_type") or None)
    if (snapshot_id := wanted.get("snapshot_id")) is not None:
        snapshot = core.volumes.show_snapshot(snapshot_id, project_id=call.caller.sees)
        call.caller.authorize("volume:get_snapshot", snapshot.project_id)
    if (source_id := wanted.get("source_volid")) is not None:
        look_up(core, call, source_id)
    for key in ("consistencygroup_id", "group_id"):
        if wanted.get(key) is not None:
            raise NotFound(f"Group {wanted[key]} could not be found.")
    if wanted.get("imageRef") is not None or wanted.get("image_id") is not None:
        raise BadRequest(NO_IMAGE)
    if backup_id := wanted.get("backup_id"):
        core.backups.show(call.caller, str(backup_id))
    if "multiattach" in wanted:
        if wanted["multiattach"] is None:
            raise BadRequest("Value 'None' for 'multiattach' is not a boolean.")
        if is_true(wanted["multiattach"]):
            raise BadRequest(NO_MULTIATTACH)


def _request(wanted: dict[str, Any], size: int | None) -> VolumeRequest:
    return VolumeRequest(
        size_gib=size,
        **texts(wanted),
        metadata=wanted.get("metadata"),
        volume_type=wanted.get("volume_type") or None,
        snapshot_id=wanted.get("snapshot_id"),
        source_volid=wanted.get("source_volid"),
        availability_zone=wanted.get("availability_zone"),
    )


def _from_backup(call: Call, wanted: dict[str, Any], size: int | None) -> NewVolume:
    named = texts(wanted)
    return NewVolume(
        project_id=call.caller.project_id,
        user_id=call.caller.user_id,
        size_gib=size or 0,
        name=named.get("name"),
        description=named.get("description"),
        metadata=wanted.get("metadata") or {},
        availability_zone=wanted.get("availability_zone"),
        volume_type=wanted.get("volume_type") or None,
    )


def _attached(core: Core, row: VolumeRow) -> list[AttachmentRow]:
    return core.volumes.attached([row.id])[row.id]


def _list(core: Core, call: Call, path: tuple[str, ...], view: View) -> Reply:
    allowed = core.settings.filters_of("volume")
    listable = Listable(
        rule="volume:get_all",
        columns=filtering.VOLUME.names,
        renamed=filtering.renamed(call),
        always=allowed,
        allowed=allowed,
        all_tenants=partial(boolean, "all_tenants"),
    )
    asked = listing.wanted(call, listable, largest=core.settings.osapi_max_limit)
    values = filtering.of_volumes(call, asked.filters)
    query = filtering.query(call, asked, filtering.VOLUME, values)
    rows: list[VolumeRow] = []
    count = 0 if asked.with_count else None
    if query is not None:
        try:
            rows, count = core.volumes.find(query, with_count=asked.with_count)
        except MarkerNotFound as error:
            raise VolumeNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise BadRequest(INVALID_SORT_KEY) from error
    attached = core.volumes.attached([row.id for row in rows])
    items = [view(row, call, attached[row.id]) for row in rows]
    return Reply(200, listing.document(call, asked, path, items, count))
