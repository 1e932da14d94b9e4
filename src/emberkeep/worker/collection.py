"""The job of a collection: removes from a domain what no backup needs any more, beside all else."""

import logging
from dataclasses import asdict

from emberkeep.engine.repository import DomainId
from emberkeep.jobs.queue import Job
from emberkeep.worker.site import Failure, Run, Site

_log = logging.getLogger(__name__)
_MOST_REASONS = 1000  # that are kept with the job


def run(site: Site, run: Run) -> None:
    """Collect.  Raises what `Repository.collect` raises."""
    job = run.job
    repository = site.repository(job.needs_repository)
    collected = repository.collect(
        DomainId(job.subject),
        dry_run=job.arguments.get("dry_run", False),
        progress=run.report,
        checkpoint=run.checkpoint,
    )
    _log.info("collected domain %s: %s", job.subject, collected)
    result = asdict(collected) | {"reasons": collected.reasons[:_MOST_REASONS]}
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.checkpoint(tx, job, result)
        site.queue.finish(tx, job, done=collected.removed_bytes)


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job; the domain is as it was, and the next collection tries again."""
    _log.error("collection of domain %s: %s", job.subject, failure.reason)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.fail(tx, job, failure.reason)
