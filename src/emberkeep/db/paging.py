"""Pages of a table: filters, sorting and markers as Cinder's lists have them (contract, lists)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from emberkeep.db.database import Transaction


class InvalidSortKey(Exception):
    """What was to be sorted by is no column, or is named twice."""


class MarkerNotFound(Exception):
    """The row that the page follows is not there, or not the caller's to see."""

    def __init__(self, marker: str) -> None:
        super().__init__(marker)
        self.marker = marker


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows, and in which order.

    `project_id` limits to a project (None: all).  `filters` compares columns with strings, `like`
    finds strings within them; a column that does not exist matches nothing.  `sort` holds (column,
    ascending); created_at and id follow in the first one's direction.  The marker is looked for in
    `marker_project_id`'s rows (None: in all).
    """

    project_id: str | None
    limit: int
    marker: str | None = None
    offset: int = 0
    sort: tuple[tuple[str, bool], ...] = (("created_at", False),)
    filters: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    marker_project_id: str | None = None


def page(tx: Transaction, table: sa.Table, query: Query) -> sa.Select[Any]:
    """The statement for a page.  Raises `MarkerNotFound`, then `InvalidSortKey`."""
    marker = None
    if query.marker is not None:
        marker = tx.row(
            sa.select(table).where(
                table.c.id == query.marker,
                sa.not_(table.c.deleted),
                *_visible(table, query.marker_project_id),
            )
        )
        if marker is None:
            raise MarkerNotFound(query.marker)
    order = _order(table, query)
    selected = sa.select(table).where(*_conditions(table, query))
    if marker is not None:
        selected = selected.where(_after(order, marker))
    return (
        selected.order_by(
            *(clause for column, ascending in order for clause in _directed(column, ascending))
        )
        .limit(query.limit)
        .offset(query.offset)
    )


def count(tx: Transaction, table: sa.Table, query: Query) -> int:
    """How many rows there are in all pages together."""
    counted = sa.select(sa.func.count()).select_from(table).where(*_conditions(table, query))
    return int(tx.connection.scalar(counted) or 0)


def _visible(table: sa.Table, project_id: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if project_id is None else [table.c.project_id == project_id]


def _conditions(table: sa.Table, query: Query) -> list[sa.ColumnElement[bool]]:
    conditions = [sa.not_(table.c.deleted), *_visible(table, query.project_id)]
    for name, value in query.filters.items():
        conditions.append(_equals(table, name, value))
    for name, value in query.like.items():
        conditions.append(_contains(table, name, value))
    return conditions


def _contains(table: sa.Table, name: str, value: str) -> sa.ColumnElement[bool]:
    column = table.c.get(name)
    if column is None or isinstance(column.type, sa.JSON):
        return sa.false()
    return sa.cast(column, sa.String).contains(value)


def _equals(table: sa.Table, name: str, value: str) -> sa.ColumnElement[bool]:
    column = table.c.get(name)
    match getattr(column, "type", None):
        case None | sa.JSON():
            return sa.false()
        case sa.Boolean():
            truth = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
            return sa.false() if truth is None else table.c[name] == truth
        case sa.Integer():
            if not value.isascii() or not value.isdecimal() or len(value) > 18:
                return sa.false()
            return table.c[name] == int(value)
        case sa.DateTime():
            return sa.false()
        case _:
            return table.c[name] == value


def _order(table: sa.Table, query: Query) -> list[tuple[sa.Column[Any], bool]]:
    names = [name for name, _ascending in query.sort]
    if len(set(names)) < len(names) or any(
        name not in table.c or isinstance(table.c[name].type, sa.JSON) for name in names
    ):
        raise InvalidSortKey
    first = query.sort[0][1]
    ties = ((name, first) for name in ("created_at", "id") if name not in names)
    return [(table.c[name], ascending) for name, ascending in (*query.sort, *ties)]


def _directed(column: sa.Column[Any], ascending: bool) -> list[sa.ColumnElement[Any]]:
    """Nulls come first ascending and last descending, on every database."""
    null = sa.case((column.is_(None), 0), else_=1)
    if ascending:
        return [null.asc(), column.asc()]
    return [null.desc(), column.desc()]


def _after(
    order: list[tuple[sa.Column[Any], bool]], marker: Mapping[str, Any]
) -> sa.ColumnElement[bool]:
    """The rows that follow `marker` in the order."""
    alternatives: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for column, ascending in order:
        value = marker[column.name]
        beyond: sa.ColumnElement[bool]
        same: sa.ColumnElement[bool]
        if value is None:
            beyond = column.is_not(None) if ascending else sa.false()
            same = column.is_(None)
        else:
            beyond = column > value if ascending else sa.or_(column < value, column.is_(None))
            same = column == value
        alternatives.append(sa.and_(*equal, beyond))
        equal.append(same)
    return sa.or_(*alternatives)
