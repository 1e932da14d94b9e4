"""The job of a deletion: the root goes with the last row that uses it, and nothing else does.

What only that root needed goes with a collection, which is enqueued here.
"""

from emberkeep.backups import collection, lifecycle
from emberkeep.backups.lifecycle import Event
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.engine.repository import DomainId, RootId
from emberkeep.jobs.queue import Job, Kind
from emberkeep.worker.site import HandBack, Run, Site

_STILL_RUNNING = 0.2  # seconds until a job that was asked to stop is looked at again


def run(site: Site, run: Run) -> None:
    """Delete.  Raises `HandBack` while what was under way with the backup has not stopped."""
    job = run.job
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        backup = table.get(tx, job.subject)
        if any(other.kind != Kind.DELETE for other in site.queue.unfinished(tx, job.subject)):
            raise HandBack(delay=_STILL_RUNNING)
        if backup is None:
            site.queue.finish(tx, job)
            return
        removing = _is_removing(tx, backup)
        if backup.status != "deleting" and not removing:
            site.queue.finish(tx, job)  # somebody wants to keep it after all
            return
        if backup.root is None or not (removing or _may_remove(tx, backup.root)):
            _remove_row(site, tx, job, backup)
            return
    repository = site.repository(backup.repository)
    repository.delete_root(DomainId(backup.domain or ""), RootId(backup.root))
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        sessions.move(tx, backup.root, before=sessions.REMOVING, after=sessions.REMOVED)
        _remove_row(site, tx, job, backup)
        collection.enqueue(
            tx,
            site.queue,
            domain=backup.domain or "",
            repository=repository.id,
            project_id=job.project_id,
            user_id=job.user_id,
        )
    site.queue.wake()


def fail(site: Site, job: Job, reason: str) -> None:
    """End the job: the backup is in `error_deleting`, from where it can be deleted by force."""
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        lifecycle.happen(tx, job.subject, Event.DELETION_FAILED, fail_reason=reason)
        site.queue.fail(tx, job, reason)


def _is_removing(tx: Transaction, backup: Backup) -> bool:
    """Whether the removal of the root has begun: from there on there is no way back."""
    return backup.root is not None and sessions.held_state(tx, backup.root) in (
        sessions.REMOVING,
        sessions.REMOVED,
    )


def _may_remove(tx: Transaction, root: str) -> bool:
    """Begin to remove the root if no other row uses it; return whether that is so.

    Imports that share the root look at its session first, which is held here.
    """
    return table.users_of_root(tx, root) <= 1 and sessions.move(
        tx, root, before=sessions.COMMITTED, after=sessions.REMOVING
    )


def _remove_row(site: Site, tx: Transaction, job: Job, backup: Backup) -> None:
    removed = table.remove(tx, backup.id)
    if removed and backup.parent_id is not None and backup.root is not None:
        table.count_child(tx, backup.parent_id, -1)
    site.queue.finish(tx, job)
