"""Messages: why something failed that was accepted before."""

from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.listing import Paging, Parameters
from emberkeep.api.microversions import v3
from emberkeep.api.views import messages as views
from emberkeep.db.messages import COLUMNS, Message
from emberkeep.db.paging import Query

SINCE = v3(3)
PAGING = v3(5)


def index(core: Core, call: Call) -> Reply:
    """The messages of the caller's project, an admin's too."""
    call.caller.authorize("message:get_all", None)
    paging, query = _asked(core, call)
    found: list[Message] = [] if query is None else core.messages.list(query)
    items = [views.item(message, call) for message in found]
    answer: dict[str, Any] = {"messages": items}
    ids = [message.id for message in found]
    link = listing.next_link(call, ("messages",), limit=paging.limit, count=None, ids=ids)
    if link is not None:
        answer["messages_links"] = link
    return Reply(200, answer)


def show(core: Core, call: Call) -> Reply:
    message = core.messages.show(call.caller, call.parameters["id"])
    return Reply(200, {"message": views.item(message, call)})


def delete(core: Core, call: Call) -> Reply:
    core.messages.delete(call.caller, call.parameters["id"])
    return Reply(204, bare=True)


def _asked(core: Core, call: Call) -> tuple[Paging, Query | None]:
    """What the query string asks for, in Cinder's order; no query if nothing can match.

    Before 3.5 there are neither pages nor filters, but a link to a next page is shown.
    """
    largest = core.settings.osapi_max_limit
    parameters = Parameters(call.query)
    if call.version < PAGING:
        limit = listing.take_limit(parameters, largest)
        return Paging(limit, None, 0), Query(call.caller.project_id, limit=largest)
    paging = listing.take_paging(parameters, largest)
    sort = listing.take_sort(parameters)
    if call.version >= listing.STRICT_FILTERS:
        allowed = core.settings.filters_of("message")
        listing.check_filters(parameters, call, always=(), allowed=allowed)
        if not call.caller.is_admin:
            parameters.drop("all_tenants")  # forgiven, because a client of Cinder adds it always
    listing.check_directions(sort)
    filters = listing.filters(parameters, {})
    if {*filters.equal, *filters.like} - COLUMNS:
        return paging, None
    if filters.doubled:
        raise BadRequest
    return paging, Query(
        project_id=call.caller.project_id,
        limit=paging.limit,
        marker=paging.marker,
        offset=paging.offset,
        sort=tuple((key, direction == "asc") for key, direction in sort),
        filters=filters.equal,
        like=filters.like,
        marker_project_id=call.caller.sees,
    )
