"""Volume types: the list, one by its id, and the default one."""

from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.listing import Filters, Parameters
from emberkeep.api.microversions import v3
from emberkeep.api.validation import boolean_word
from emberkeep.api.views import types as views
from emberkeep.volumes.errors import TypeNotFound
from emberkeep.volumes.types import DEFAULT, TYPES, VolumeType

FILTERS = v3(52)  # from here on a filter that is not allowed is refused
COLUMNS = frozenset(
    (*VolumeType.__slots__, "is_public", "qos_specs_id", "created_at", "updated_at", "deleted")
)


def index(core: Core, call: Call) -> Reply:
    call.caller.authorize("volume_extension:type_get_all", None)
    parameters = Parameters(call.query)
    paging = listing.take_paging(parameters, core.settings.osapi_max_limit)
    sort = listing.take_sort(parameters)
    if call.version >= FILTERS:
        allowed = core.settings.filters_of("volume_type")
        listing.check_filters(parameters, call, always=(), allowed=allowed)
    is_public = _is_public(call)
    parameters.drop("is_public")
    listing.check_directions(sort)
    filters = listing.filters(parameters, {}) if call.caller.is_admin else Filters({}, {})
    found = [one for one in TYPES if is_public is not False and _passes(one, filters)]
    if filters.doubled and not {*filters.equal, *filters.like} - COLUMNS:
        raise BadRequest
    if not {key for key, _ in sort} <= COLUMNS:
        raise BadRequest("Invalid input received: Invalid sort key")
    ids = [one.id for one in found]
    start = ids.index(paging.marker) + 1 if paging.marker in ids else 0
    page = found[start + paging.offset :][: paging.limit]
    answer: dict[str, Any] = {"volume_types": [views.item(one, call) for one in page]}
    shown = [one.id for one in page]
    link = listing.next_link(call, ("types",), limit=paging.limit, count=None, ids=shown)
    if link is not None:
        answer["volume_type_links"] = link
    return Reply(200, answer)


def show(core: Core, call: Call) -> Reply:
    """One type by its id; its name is no id."""
    type_id = call.parameters["id"]
    found = next((one for one in TYPES if one.id == type_id), None)
    if found is None:
        raise TypeNotFound(f"Volume type {type_id} could not be found.")
    call.caller.authorize("volume_extension:type_get", None)
    return Reply(200, {"volume_type": views.item(found, call)})


def default(core: Core, call: Call) -> Reply:
    call.caller.authorize("volume_extension:type_get", None)
    return Reply(200, {"volume_type": views.item(DEFAULT, call, with_access=False)})


def _is_public(call: Call) -> bool | None:
    """Which types an admin asks for: None is both kinds.  Others get the public ones."""
    text = dict(call.query).get("is_public")
    if text is None or not call.caller.is_admin:
        return True
    if text.lower() == "none":
        return None
    word = boolean_word(text)
    if word is None:
        raise BadRequest(f"Invalid is_public filter [{text}]")
    return word


def _passes(one: VolumeType, filters: Filters) -> bool:
    """Whether the type has the values that are asked for; it has no others than its own."""
    values = {name: getattr(one, name) for name in VolumeType.__slots__}
    return (
        not filters.doubled
        and not filters.like
        and all(values.get(name) == value for name, value in filters.equal.items())
    )
