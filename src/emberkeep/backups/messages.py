"""Messages to users: what became of a request that was accepted and failed afterwards.

Ids and texts are Cinder's.  A message is written in the transaction that ends the job, so there is
one for a job that failed, of its first failure, and none for one that did well.
"""

from collections.abc import Mapping
from enum import StrEnum

from emberkeep.backups.errors import InvalidInput, MessageNotFound
from emberkeep.caller import Caller
from emberkeep.db import messages as table
from emberkeep.db.database import Database, Transaction
from emberkeep.db.messages import Message
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound, Query

RESOURCE = "VOLUME_BACKUP"


class Action(StrEnum):
    """What was asked for."""

    CREATE = "013"
    DELETE = "014"
    RESTORE = "015"


class Detail(StrEnum):
    """Why it failed."""

    INVALID_STATUS = "017"
    SERVICE_DOWN = "018"
    CREATE_FAILED = "020"
    ATTACH_FAILED = "021"
    DETACH_FAILED = "022"
    CLEANUP_FAILED = "023"
    NOT_SCHEDULED = "024"
    DELETE_FAILED = "025"
    RESTORE_FAILED = "026"
    INVALID_VOLUME = "027"  # of the volume, whose id the message then carries


# Some are of volumes, which write their messages themselves.
ACTIONS: Mapping[str, str] = {
    "001": "schedule allocate volume",
    Action.CREATE: "create backup",
    Action.DELETE: "delete backup",
    Action.RESTORE: "restore backup",
}
DETAILS: Mapping[str, str] = {
    "003": "Could not find any available weighted backend.",
    Detail.INVALID_STATUS: "Backup status is invalid.",
    Detail.SERVICE_DOWN: "Backup service is down.",
    Detail.CREATE_FAILED: "Backup driver failed to create backup.",
    Detail.ATTACH_FAILED: "Failed to attach volume.",
    Detail.DETACH_FAILED: "Failed to detach volume.",
    Detail.CLEANUP_FAILED: "Cleanup of temporary volume/snapshot failed.",
    Detail.NOT_SCHEDULED: "Backup failed to schedule. Service not found for creating backup.",
    Detail.DELETE_FAILED: "Backup driver failed to delete backup.",
    Detail.RESTORE_FAILED: "Backup driver failed to restore backup.",
    Detail.INVALID_VOLUME: "Volume status is invalid.",
}


def text(message: Message) -> str:
    """What the user reads."""
    action = ACTIONS.get(message.action_id, "unknown action")
    return f"{action}:{DETAILS.get(message.detail_id, 'An unknown error occurred.')}"


def tell(
    tx: Transaction,
    action: Action,
    detail: Detail,
    *,
    project_id: str,
    request_id: str | None,
    resource_uuid: str,
    ttl: float,
) -> None:
    """Tell the project of the request, for `ttl` seconds, why its backup's action failed."""
    table.add(
        tx,
        project_id=project_id,
        request_id=request_id,
        resource_type=RESOURCE,
        resource_uuid=resource_uuid,
        action_id=action,
        detail_id=detail,
        ttl=ttl,
    )


class Messages:
    """What callers do with messages.  May be used from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, query: Query) -> list[Message]:
        """A page of messages.  Raises `MessageNotFound` (the marker) and `InvalidInput`."""
        try:
            with self._database.reading() as tx:
                return table.page(tx, query)
        except MarkerNotFound as error:
            raise MessageNotFound(error.marker) from error
        except InvalidSortKey as error:
            raise InvalidInput("Invalid sort key") from error

    def show(self, caller: Caller, message_id: str) -> Message:
        """Raises `MessageNotFound`, and what `authorize` raises."""
        with self._database.reading() as tx:
            return self._get(tx, caller, message_id, "message:get")

    def delete(self, caller: Caller, message_id: str) -> None:
        """Raises `MessageNotFound`, and what `authorize` raises."""
        with self._database.writing() as tx:
            table.remove(tx, self._get(tx, caller, message_id, "message:delete").id)

    def _get(self, tx: Transaction, caller: Caller, message_id: str, rule: str) -> Message:
        message = table.get(tx, message_id, project_id=caller.sees)
        if message is None:
            raise MessageNotFound(message_id)
        caller.authorize(rule, message.project_id)
        return message
