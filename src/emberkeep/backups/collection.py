"""When a domain is collected: after a deletion, or when an operator asks.

The work is `worker.collection`; the queue runs it alone in its domain.
"""

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
    """Let the domain be collected; returns the job's id.

    A collection that has not begun yet will see everything, so there is never a second one waiting.
    """
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
