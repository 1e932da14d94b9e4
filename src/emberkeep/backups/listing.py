"""Which backups a caller lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from emberkeep.backups.errors import BackupNotFound, InvalidInput
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db import paging
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound


@dataclass(frozen=True, slots=True)
class Query:
    """Which backups; `sort` holds (column, "asc" or "desc")."""

    limit: int = 1000
    marker: str | None = None
    offset: int = 0
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    filters: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    all_tenants: bool = False
    with_count: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the backups, and how many there are in all, if that was asked."""

    items: list[Backup]
    count: int | None


def page(tx: Transaction, caller: Caller, query: Query) -> Page:
    """A page of the caller's backups, or of all projects' for an admin who asks for that.

    Raises `BackupNotFound` (the marker) and `InvalidInput`, in this order.
    """
    everywhere = caller.is_admin and query.all_tenants
    filters = dict(query.filters)
    if not everywhere:
        filters.pop("project_id", None)
    wanted = paging.Query(
        project_id=None if everywhere else caller.project_id,
        limit=query.limit,
        marker=query.marker,
        offset=query.offset,
        sort=tuple((key, direction == "asc") for key, direction in query.sort),
        filters=filters,
        like=query.like,
        marker_project_id=caller.sees,
    )
    try:
        items = table.page(tx, wanted)
    except InvalidSortKey as error:
        raise InvalidInput("Invalid sort key") from error
    except MarkerNotFound as error:
        raise BackupNotFound(error.marker) from error
    return Page(items, table.count(tx, wanted) if query.with_count else None)
