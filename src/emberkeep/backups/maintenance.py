"""When a domain is collected and verified: now and then, after deletions, or when somebody asks.

The work is `worker.collection` and `worker.verification`; both run beside everything else.

Invariant: of a domain no more than one collection, and one verification of a kind, waits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from emberkeep.backups import placement
from emberkeep.db import maintenance as table
from emberkeep.db import sessions
from emberkeep.db.database import Transaction
from emberkeep.db.sessions import Domain
from emberkeep.jobs.queue import Kind, NewJob, Queue


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often.  `collect_every`, `verify_every`: seconds, 0: only when somebody asks.

    A verification goes to `verify_depth` (1, 2 or 3) and reads `verify_share` (0 to 1) of the data,
    what was read longest ago first.
    """

    collect_every: float = 86_400
    verify_every: float = 86_400
    verify_depth: int = 2
    verify_share: float = 0.04


def enqueue_due(
    tx: Transaction, queue: Queue, schedule: Schedule, repositories: Collection[str]
) -> list[str]:
    """Let the domains be collected and verified whose time has come; the jobs' ids."""
    verify = {"depth": schedule.verify_depth, "share": schedule.verify_share}
    return [
        enqueue(tx, queue, domain, kind=kind, arguments=arguments)
        for kind, every, arguments in (
            (Kind.COLLECT, schedule.collect_every, {}),
            (Kind.VERIFY, schedule.verify_every, verify),
        )
        if every
        for domain in table.due(
            tx,
            kind=kind,
            before=tx.now() - timedelta(seconds=every),
            repositories=repositories,
        )
    ]


def enqueue(
    tx: Transaction,
    queue: Queue,
    domain: Domain,
    *,
    kind: Kind = Kind.COLLECT,
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """Let the domain be collected; returns the job's id, that of the one that waits if one does.

    One that has not begun yet will see everything; one that runs may have looked already.
    """
    wanted = dict(arguments or {})
    sessions.held_domain(tx, domain.id)
    for job in queue.unfinished(tx, domain.id):
        if (job.state, job.kind, job.arguments) == ("queued", kind, wanted):
            return job.id
    return queue.enqueue(
        tx,
        NewJob(
            kind=kind,
            subject=domain.id,
            project_id=domain.project_id,
            user_id="operator",
            arguments=wanted,
            needs_repository=domain.repository,
        ),
    )


def enqueue_all(
    tx: Transaction,
    queue: Queue,
    *,
    kind: Kind = Kind.COLLECT,
    arguments: Mapping[str, Any] | None = None,
) -> list[str]:
    """Let every domain of the repositories that services reach be collected; the jobs' ids."""
    reached = {service.repository for service in placement.usable(tx) if service.repository}
    return [
        enqueue(tx, queue, domain, kind=kind, arguments=arguments)
        for repository in sorted(reached)
        for domain in sessions.domains_of(tx, repository)
    ]
