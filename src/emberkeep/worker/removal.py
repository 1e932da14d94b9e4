"""The job of a deletion: the root goes with the last row that uses it, and nothing else does.

What only that root needed goes with a collection, which is enqueued here.
"""

from emberkeep.backups import lifecycle, maintenance
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.messages import Action, Detail
from emberkeep.backups.notifications import Event as Told
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.engine.repository import DomainId, RootId, State
from emberkeep.jobs.queue import Job, Kind
from emberkeep.worker.site import Failure, HandBack, Run, Site

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
        if job.attempt - job.handed_back == 1:
            site.notifications.after(tx, Told.DELETE_START, backup.id)
        removing = _is_removing(tx, backup)
        if backup.status != "deleting" and not removing:
            site.tell(tx, job, Action.DELETE, Detail.INVALID_STATUS)
            site.queue.finish(tx, job)  # somebody wants to keep it after all
            return
        root = None if backup.root is None else RootId(backup.root)
        if root is None or not (removing or sessions.drop(tx, root)):
            _remove_row(site, tx, job, backup)  # other rows, or what is under way, need the root
            return
    run.failing = Detail.SERVICE_DOWN
    repository = site.repository(backup.repository)
    run.failing = Detail.DELETE_FAILED
    repository.delete_root(DomainId(backup.domain or ""), root)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        sessions.removed(tx, root)
        _remove_row(site, tx, job, backup)
        domain = sessions.known_domain(tx, backup.domain or "")
        if domain is not None:
            maintenance.enqueue(tx, site.queue, domain)
    site.queue.wake()


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job: the backup is in `error_deleting`, from where it can be deleted by force."""
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        event = Event.DELETION_FAILED
        if lifecycle.happen(tx, job.subject, event, fail_reason=failure.reason):
            site.tell(tx, job, Action.DELETE, failure.detail)
        site.queue.fail(tx, job, failure.reason)


def _is_removing(tx: Transaction, backup: Backup) -> bool:
    """Whether the removal of the root has begun: from there on there is no way back."""
    return backup.root is not None and sessions.held_state(tx, backup.root) in (
        State.REMOVING,
        State.REMOVED,
    )


def _remove_row(site: Site, tx: Transaction, job: Job, backup: Backup) -> None:
    removed = table.remove(tx, backup.id)
    if removed and backup.parent_id is not None and backup.root is not None:
        table.count_child(tx, backup.parent_id, -1)
    site.notifications.after(tx, Told.DELETE_END, backup.id)
    site.queue.finish(tx, job)
