"""The job of a collection: removes from a domain what no backup needs any more.

It is exclusive in its domain: the queue runs no writer beside it.
"""

import logging
from dataclasses import asdict

from emberkeep.db import sessions
from emberkeep.engine.repository import DomainId, RootId
from emberkeep.jobs.queue import Job
from emberkeep.worker.site import GaveUp, Run, Site

_log = logging.getLogger(__name__)


def run(site: Site, run: Run) -> None:
    """Collect.  Raises `GaveUp` if the store holds a backup that the database does not know."""
    job = run.job
    repository = site.repository(job.needs_repository)
    domain = DomainId(job.subject)
    for root in list(repository.roots(domain)):
        run.checkpoint()
        with site.database.writing() as tx:
            site.queue.hold(tx, job)
            state = sessions.state(tx, root)
            sessions.move(tx, root, before=sessions.REMOVING, after=sessions.REMOVED)
        match state:
            case None:
                raise GaveUp(
                    f"Nothing was collected: the store holds backup root {root}, which the "
                    "database does not know. Register it first: emberkeep repo rebuild"
                )
            case sessions.ABORTED | sessions.REMOVING | sessions.REMOVED:
                repository.delete_root(domain, root)

    def live() -> list[RootId]:
        with site.database.reading() as tx:
            states = sessions.states(tx, domain)
        return [RootId(root) for root, state in states.items() if state == sessions.COMMITTED]

    collected = repository.collect(
        domain, live=live, progress=run.report, checkpoint=run.checkpoint
    )
    _log.info("collected domain %s: %s", domain, collected)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.checkpoint(tx, job, asdict(collected))
        site.queue.finish(tx, job, done=collected.removed_bytes)


def fail(site: Site, job: Job, reason: str) -> None:
    """End the job; the domain is as it was, and the next deletion tries again."""
    _log.error("collection of domain %s: %s", job.subject, reason)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.fail(tx, job, reason)
