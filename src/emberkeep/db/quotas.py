"""Statements about quotas: the limits of projects, and of classes of projects.

A limit is the project's own, else that of the class `default`, else the configuration's.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import quota_classes, quotas

DEFAULT_CLASS = "default"


def limits(tx: Transaction, project_id: str, configured: Mapping[str, int]) -> dict[str, int]:
    """What the project may have of each resource; -1: without limit."""
    return class_limits(tx, DEFAULT_CLASS, configured) | _read(tx, quotas.c.project_id, project_id)


def class_limits(tx: Transaction, name: str, configured: Mapping[str, int]) -> dict[str, int]:
    """What the projects of a class may have, if they have no limits of their own."""
    defaults = {**configured, **_read(tx, quota_classes.c.class_name, DEFAULT_CLASS)}
    return defaults if name == DEFAULT_CLASS else defaults | _read_class(tx, name)


def set_limits(tx: Transaction, project_id: str, values: Mapping[str, int]) -> None:
    """Give the project limits of its own; the caller has locked it."""
    _write(tx, quotas.c.project_id, project_id, values)


def set_class_limits(tx: Transaction, name: str, values: Mapping[str, int]) -> None:
    _write(tx, quota_classes.c.class_name, name, values)


def forget_limits(tx: Transaction, project_id: str) -> None:
    """Let the project have what its class may."""
    tx.changed(sa.delete(quotas).where(quotas.c.project_id == project_id))


def _read_class(tx: Transaction, name: str) -> dict[str, int]:
    return _read(tx, quota_classes.c.class_name, name)


def _read(tx: Transaction, owner: sa.Column[str], name: str) -> dict[str, int]:
    table = owner.table
    found = sa.select(table.c.resource, table.c.hard_limit).where(owner == name)
    return {row.resource: row.hard_limit for row in tx.connection.execute(found)}


def _write(tx: Transaction, owner: sa.Column[str], name: str, values: Mapping[str, int]) -> None:
    table = owner.table
    assert isinstance(table, sa.Table)
    for resource, limit in sorted(values.items()):  # in one order, so that nobody waits in a circle
        row = {owner.name: name, "resource": resource, "hard_limit": limit}
        tx.put(table, row, "hard_limit")
