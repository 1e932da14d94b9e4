"""Snapshots of the volumes that the service keeps itself."""

from collections.abc import Callable
from typing import Any

from emberkeep.api import filtering, listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.handlers import volumes
from emberkeep.api.listing import Listable
from emberkeep.api.microversions import v3
from emberkeep.api.validation import boolean_word, is_true
from emberkeep.api.views import snapshots as views
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound
from emberkeep.db.volumes import SnapshotRow
from emberkeep.volumes.errors import SnapshotNotFound

WITHOUT_FORCE = v3(66)
NO_FORCE = (
    "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward "
    "compatability, however, when the 'force' flag is passed with a value evaluating to True, it "
    "is silently ignored."
)
SORTS_BY_NAME = v3(30)
ALWAYS = ("status", "volume_id", "name", "metadata")


def index(core: Core, call: Call) -> Reply:
    return _list(core, call, ("snapshots",), views.summary)


def detail(core: Core, call: Call) -> Reply:
    return _list(core, call, ("snapshots", "detail"), views.detail)


def show(core: Core, call: Call) -> Reply:
    snapshot = core.volumes.show_snapshot(call.parameters["id"], project_id=call.caller.sees)
    call.caller.authorize("volume:get_snapshot", snapshot.project_id)
    return Reply(200, {"snapshot": views.detail(snapshot, call)})


def create(core: Core, call: Call) -> Reply:
    wanted: dict[str, Any] = call.body["snapshot"]
    volume_id = str(wanted["volume_id"])
    volumes.look_up(core, call, volume_id)
    named = volumes.texts(wanted)
    snapshot = core.volumes.create_snapshot(
        call.caller,
        volume_id,
        name=named.get("name"),
        description=named.get("description"),
        metadata=wanted.get("metadata") or {},
        in_use=_takes_in_use(call, wanted),
    )
    return Reply(202, {"snapshot": views.created(snapshot, call)})


def update(core: Core, call: Call) -> Reply:
    changes = volumes.texts(call.body["snapshot"])
    snapshot = core.volumes.update_snapshot(call.caller, call.parameters["id"], changes)
    return Reply(200, {"snapshot": views.created(snapshot, call)})


def delete(core: Core, call: Call) -> Reply:
    core.volumes.delete_snapshot(call.caller, call.parameters["id"])
    return Reply(202, bare=True)


def _takes_in_use(call: Call, wanted: dict[str, Any]) -> bool:
    """Whether the volume may be in use: before 3.66 by force only, from there on always."""
    force = is_true(wanted.get("force"))
    if call.version < WITHOUT_FORCE:
        return force
    if "force" in wanted and not force:
        raise BadRequest(NO_FORCE)
    return True


def _list(
    core: Core,
    call: Call,
    path: tuple[str, ...],
    view: Callable[[SnapshotRow, Call], dict[str, Any]],
) -> Reply:
    listable = Listable(
        rule="volume:get_all_snapshots",
        columns=filtering.SNAPSHOT.names,
        renamed=filtering.renamed(call),
        always=ALWAYS,
        allowed=core.settings.filters_of("snapshot"),
        name_sorts_since=SORTS_BY_NAME,
        all_tenants=lambda text: boolean_word(text) is True,
    )
    asked = listing.wanted(call, listable, largest=core.settings.osapi_max_limit)
    values = filtering.of_snapshots(call, asked.filters)
    query = filtering.query(call, asked, filtering.SNAPSHOT, values)
    rows: list[SnapshotRow] = []
    count = 0 if asked.with_count else None
    if query is not None:
        try:
            rows, count = core.volumes.find_snapshots(query, with_count=asked.with_count)
        except MarkerNotFound as error:
            raise SnapshotNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise BadRequest(volumes.INVALID_SORT_KEY) from error
    items = [view(row, call) for row in rows]
    return Reply(200, listing.document(call, asked, path, items, count))
