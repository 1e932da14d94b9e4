"""The job of a verification: looks whether a domain's backups are in the store as written."""

import logging
from dataclasses import asdict

from emberkeep.engine.repository import DomainId
from emberkeep.jobs.queue import Job
from emberkeep.worker.site import Failure, Run, Site

_log = logging.getLogger(__name__)


def run(site: Site, run: Run) -> None:
    """Verify.  Raises what `Repository.verify` raises."""
    job = run.job
    repository = site.repository(job.needs_repository)
    verified = repository.verify(
        DomainId(job.subject),
        depth=job.arguments["depth"],
        share=job.arguments["share"],
        progress=run.report,
        checkpoint=run.checkpoint,
    )
    for damage in verified.damaged:
        _log.error("domain %s: %s", job.subject, damage)
    _log.info("verified domain %s: %s", job.subject, verified)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.checkpoint(tx, job, asdict(verified))
        site.queue.finish(tx, job, done=verified.read_bytes)


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job; what it found so far stands, and the next verification goes on from there."""
    _log.error("verification of domain %s: %s", job.subject, failure.reason)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        site.queue.fail(tx, job, failure.reason)
