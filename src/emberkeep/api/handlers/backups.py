"""Backups: the eleven routes of Cinder's v3 Backups API."""

from collections.abc import Callable
from typing import Any

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.listing import Listable
from emberkeep.api.microversions import v3
from emberkeep.api.validation import is_true
from emberkeep.api.views import backups as views
from emberkeep.backups.records import Record
from emberkeep.backups.service import KEEP, NewBackup, Page, Query
from emberkeep.db.backups import COLUMNS, OWN_COLUMNS, Backup
from emberkeep.volumes.errors import VolumeNotFound


def index(core: Core, call: Call) -> Reply:
    return _list(core, call, ("backups",), views.summary)


def detail(core: Core, call: Call) -> Reply:
    return _list(core, call, ("backups", "detail"), views.detail)


def show(core: Core, call: Call) -> Reply:
    backup = core.backups.show(call.caller, call.parameters["id"])
    return Reply(200, {"backup": views.detail(backup, call)})


def create(core: Core, call: Call) -> Reply:
    wanted = call.body["backup"]
    if not call.allows("volume:get"):  # looking up a volume hides what it denies
        raise VolumeNotFound(wanted["volume_id"])
    new = NewBackup(
        volume_id=wanted["volume_id"],
        name=trimmed(wanted.get("name")),
        description=trimmed(wanted.get("description")),
        container=wanted.get("container"),
        incremental=is_true(wanted.get("incremental")),
        force=is_true(wanted.get("force")),
        snapshot_id=wanted.get("snapshot_id"),
        metadata=wanted.get("metadata") or {},
        availability_zone=wanted.get("availability_zone") or None,
    )
    backup = core.backups.create(call.caller, new)
    return Reply(202, {"backup": views.summary(backup, call)})


def update(core: Core, call: Call) -> Reply:
    wanted = call.body["backup"]
    backup = core.backups.update(
        call.caller,
        call.parameters["id"],
        name=trimmed(wanted["name"]) if "name" in wanted else KEEP,
        description=trimmed(wanted["description"]) if "description" in wanted else KEEP,
        metadata=wanted.get("metadata", KEEP),
    )
    return Reply(200, {"backup": views.summary(backup, call)})


def delete(core: Core, call: Call) -> Reply:
    core.backups.delete(call.caller, call.parameters["id"])
    return Reply(202)


def force_delete(core: Core, call: Call) -> Reply:
    core.backups.force_delete(call.caller, call.parameters["id"])
    return Reply(202)


def reset_status(core: Core, call: Call) -> Reply:
    status = call.body["os-reset_status"]["status"].lower()
    core.backups.reset_status(call.caller, call.parameters["id"], status)
    return Reply(202)


def restore(core: Core, call: Call) -> Reply:
    wanted = call.body["restore"]
    restoring = core.backups.restore(
        call.caller,
        call.parameters["id"],
        volume_id=wanted.get("volume_id"),
        name=wanted.get("name"),
    )
    return Reply(
        202,
        {
            "restore": {
                "backup_id": restoring.backup_id,
                "volume_id": restoring.volume_id,
                "volume_name": restoring.volume_name,
            }
        },
    )


def export_record(core: Core, call: Call) -> Reply:
    record = core.backups.export_record(call.caller, call.parameters["id"])
    return Reply(
        200,
        {
            "backup-record": {
                "backup_service": record.backup_service,
                "backup_url": record.backup_url,
            }
        },
    )


def import_record(core: Core, call: Call) -> Reply:
    """Import a record; an id in the path must be the record's."""
    given = call.body["backup-record"]
    record = Record(given["backup_service"], given["backup_url"])
    named = call.parameters.get("uuid")
    backup = core.backups.import_record(call.caller, record, backup_id=named)
    return Reply(201, {"backup": views.summary(backup, call)})


def trimmed(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _list(
    core: Core,
    call: Call,
    path: tuple[str, ...],
    view: Callable[[Backup, Call], dict[str, Any]],
) -> Reply:
    listable = Listable(
        rule="backup:get_all",
        columns=COLUMNS - OWN_COLUMNS,
        renamed={"name": "display_name"},
        always=("name", "status", "volume_id"),
        allowed=core.settings.filters_of("backup"),
        name_sorts_since=v3(37),
    )
    asked = listing.wanted(call, listable, largest=core.settings.osapi_max_limit)
    if asked.matches_nothing(listable.columns):
        page = Page([], 0 if asked.with_count else None)
    else:
        page = core.backups.list(call.caller, _query(asked))
    items = [view(backup, call) for backup in page.items]
    return Reply(200, listing.document(call, asked, path, items, page.count))


def _query(asked: listing.Wanted) -> Query:
    return Query(
        limit=asked.paging.limit,
        marker=asked.paging.marker,
        offset=asked.paging.offset,
        sort=asked.sort,
        filters=asked.filters.equal,
        like=asked.filters.like,
        all_tenants=asked.all_tenants,
        with_count=asked.with_count,
    )
