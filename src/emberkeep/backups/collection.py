"""When a domain is collected: after a deletion or a failed backup, or when an operator asks.

The work is `worker.collection`.

Invariants
* a collection and a backup never run together in a domain, lease or no lease: a collection is
  exclusive there (`jobs.queue`), a backup bears the domain from its making on, or else takes it on
  (`Queue.set_domain`) before it looks for a base or writes anything;
* of a domain no more than one collection waits.
"""

from emberkeep.backups import placement
from emberkeep.db import sessions
from emberkeep.db.database import Transaction
from emberkeep.jobs.queue import Kind, NewJob, Queue


def enqueue(
    tx: Transaction,
    queue: Queue,
    *,
    domain: str,
    repository: str,
    project_id: str,
    user_id: str,
) -> str:
    """Let the domain be collected; returns the job's id, that of the one that waits if one does.

    One that has not begun yet will see everything; one that runs may have looked already.
    """
    sessions.held_domain(tx, domain)
    for job in queue.unfinished(tx, domain):
        if job.state == "queued":
            return job.id
    return queue.enqueue(
        tx,
        NewJob(
            kind=Kind.COLLECT,
            subject=domain,
            project_id=project_id,
            user_id=user_id,
            needs_repository=repository,
            domain=domain,
            exclusive=True,
        ),
    )


def enqueue_all(tx: Transaction, queue: Queue) -> list[str]:
    """Let every domain of the repositories that services reach be collected; the jobs' ids."""
    reached = {service.repository for service in placement.usable(tx) if service.repository}
    return [
        enqueue(
            tx,
            queue,
            domain=domain.id,
            repository=repository,
            project_id=domain.project_id,
            user_id="operator",
        )
        for repository in sorted(reached)
        for domain in sessions.domains_of(tx, repository)
    ]
