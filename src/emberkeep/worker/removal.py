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
        if backup is None or backup.status != "deleting":
            site.queue.finish(tx, job)
            return
        if backup.root is None or not _is_last(tx, backup):
            _remove_row(site, tx, job, backup)
            return
        sessions.move(tx, backup.root, before=sessions.COMMITTED, after=sessions.REMOVING)
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
        event = Event.DELETION_FAILED
        table.change(
            tx,
            job.subject,
            when=lifecycle.TRANSITIONS[event][0],
            status=lifecycle.after(event),
            fail_reason=reason,
        )
        site.queue.fail(tx, job, reason)


def _is_last(tx: Transaction, backup: Backup) -> bool:
    """Whether no other row uses the root; decided, and acted upon, in one transaction."""
    return table.users_of_root(tx, backup.root or "") <= 1


def _remove_row(site: Site, tx: Transaction, job: Job, backup: Backup) -> None:
    table.remove(tx, backup.id)
    if backup.parent_id is not None and backup.root is not None:
        table.count_child(tx, backup.parent_id, -1)
    site.queue.finish(tx, job)
