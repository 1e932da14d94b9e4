"""Notifications: what other services are told of backups, with Cinder's names and payloads.

Invariants
* what is told of has been committed;
* who tells neither waits nor fails on account of it: that is what `Notify` promises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Any, Protocol

from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction

Payload = Mapping[str, Any]


class Event(StrEnum):
    """Work that fails has a start and no end."""

    CREATE_START = "backup.create.start"
    CREATE_PROGRESS = "backup.createprogress"
    CREATE_END = "backup.create.end"  # also of one that was stopped
    DELETE_START = "backup.delete.start"
    DELETE_END = "backup.delete.end"
    RESTORE_START = "backup.restore.start"
    RESTORE_END = "backup.restore.end"  # also of one that was stopped
    RESET_START = "backup.reset_status.start"
    RESET_END = "backup.reset_status.end"


class Notify(Protocol):
    """Sends a notification of priority INFO, or takes it to be sent.

    Never raises and never waits; may be called from many threads.
    """

    def __call__(self, publisher: str, event: str, payload: Payload) -> None: ...


def nobody(publisher: str, event: str, payload: Payload) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often progress is told: after so many objects, and seconds (None: only after objects)."""

    objects: int = 10
    seconds: float | None = 120


@dataclass(frozen=True, slots=True)
class Notifications:
    """`host` speaks for backups that no worker's host has begun yet."""

    notify: Notify = nobody
    host: str = "emberkeep"

    def send(self, event: Event, backup: Backup, **more: Any) -> None:
        """Tell of the backup as it is in the row at hand, with `more` in the payload."""
        self.notify(f"backup.{backup.host or self.host}", event.value, payload(backup) | more)

    def after(self, tx: Transaction, event: Event, backup_id: str) -> None:
        """Tell, once the transaction is committed, of the backup as it is in it now."""
        backup = table.get(tx, backup_id, deleted=True)
        if backup is not None:
            tx.after_commit(lambda: self.send(event, backup))


def payload(backup: Backup) -> dict[str, Any]:
    """What every notification says of its backup."""
    return {
        "tenant_id": backup.project_id,
        "user_id": backup.user_id,
        "availability_zone": backup.availability_zone,
        "backup_id": backup.id,
        "host": backup.host,
        "display_name": backup.display_name,
        "created_at": backup.created_at.replace(tzinfo=UTC).isoformat(),
        "status": backup.status,
        "volume_id": backup.volume_id,
        "size": backup.size,
        "service_metadata": backup.service_metadata,
        "service": backup.service,
        "fail_reason": backup.fail_reason,
        "parent_id": backup.parent_id,
        "num_dependent_backups": backup.num_dependent_backups,
        "snapshot_id": backup.snapshot_id,
    }
