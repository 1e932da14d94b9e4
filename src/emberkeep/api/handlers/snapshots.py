"""Snapshots of the volumes that the service keeps itself."""

from collections.abc import Callable
from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.handlers import volumes
from emberkeep.api.listing import Listable
from emberkeep.api.microversions import v3
from emberkeep.api.validation import is_true
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
COLUMNS = frozenset(SnapshotRow.__slots__)
FILTERS = ("name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota")
LISTABLE = Listable(
    rule="volume:get_all_snapshots",
    columns=COLUMNS,
    renamed={"display_name": "name"},
    always=FILTERS,
    allowed=FILTERS,
)


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
    volumes.look_up(core, call, wanted["volume_id"])
    snapshot = core.volumes.create_snapshot(
        call.caller,
        wanted["volume_id"],
        name=wanted["name"] if "name" in wanted else wanted.get("display_name"),
        description=wanted.get("description"),
        metadata=wanted.get("metadata") or {},
        in_use=_takes_in_use(call, wanted),
    )
    return Reply(202, {"snapshot": views.created(snapshot, call)})


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
    asked = listing.wanted(call, LISTABLE, largest=core.settings.osapi_max_limit)
    rows: list[SnapshotRow] = []
    count = 0 if asked.with_count else None
    if not asked.matches_nothing(COLUMNS):
        try:
            query = listing.query_for(call, asked)
            rows, count = core.volumes.find_snapshots(query, with_count=asked.with_count)
        except MarkerNotFound as error:
            raise SnapshotNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise BadRequest(volumes.INVALID_SORT_KEY) from error
    items = [view(row, call) for row in rows]
    return Reply(200, listing.document(call, asked, path, items, count))
