"""Attachments: who uses a volume, or is about to (3.27)."""

from collections.abc import Callable
from typing import Any

from emberkeep.api import filtering, listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.handlers.volumes import INVALID_SORT_KEY
from emberkeep.api.listing import Listable
from emberkeep.api.views import attachments as views
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound
from emberkeep.volumes.errors import AttachmentNotFound

ALWAYS = ("volume_id", "status", "instance_id", "attach_status")


def index(core: Core, call: Call) -> Reply:
    return _list(core, call, views.summary)


def detail(core: Core, call: Call) -> Reply:
    return _list(core, call, views.detail)


def show(core: Core, call: Call) -> Reply:
    attachment_id = call.parameters["id"]
    found = core.volumes.show_attachment(attachment_id, project_id=call.caller.sees)
    return Reply(200, {"attachment": views.detail(found)})


def create(core: Core, call: Call) -> Reply:
    given = call.body["attachment"]
    made = core.volumes.create_attachment(
        call.caller,
        given["volume_uuid"],
        instance_uuid=given.get("instance_uuid"),
        connector=given.get("connector"),
        mode=given.get("mode"),
    )
    return Reply(200, {"attachment": views.detail(made)})


def update(core: Core, call: Call) -> Reply:
    connector = call.body["attachment"]["connector"]
    found = core.volumes.update_attachment(call.caller, call.parameters["id"], connector)
    return Reply(200, {"attachment": views.detail(found)})


def complete(core: Core, call: Call) -> Reply:
    core.volumes.complete_attachment(call.caller, call.parameters["id"])
    return Reply(204)


def delete(core: Core, call: Call) -> Reply:
    left = core.volumes.delete_attachment(call.caller, call.parameters["id"])
    return Reply(200, {"attachments": [views.summary(row) for row in left]})


def _list(core: Core, call: Call, view: Callable[[AttachmentRow], dict[str, Any]]) -> Reply:
    listable = Listable(
        rule=None,
        columns=filtering.ATTACHMENT.names,
        renamed={"instance_id": "instance_uuid"},
        always=ALWAYS,
        allowed=core.settings.filters_of("attachment"),
        all_tenants=lambda _text: True,
        counts=False,
    )
    asked = listing.wanted(call, listable, largest=core.settings.osapi_max_limit)
    query = filtering.query(call, asked, filtering.ATTACHMENT, asked.filters.equal)
    rows: list[AttachmentRow] = []
    if query is not None:
        try:
            rows = core.volumes.find_attachments(query)
        except MarkerNotFound as error:
            raise AttachmentNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise BadRequest(INVALID_SORT_KEY) from error
    return Reply(200, {"attachments": [view(row) for row in rows]})
