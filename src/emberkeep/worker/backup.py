"""The job of a backup: from a reserved volume to an available backup."""

import contextlib
import logging
from dataclasses import replace
from typing import Any

from emberkeep.backups import lifecycle, maintenance
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.messages import Action, Detail
from emberkeep.backups.notifications import Event as Told
from emberkeep.backups.records import SERVICE, Place
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.db.sessions import Domain
from emberkeep.engine.errors import DamagedObject, SessionLost
from emberkeep.engine.layout import session_prefix
from emberkeep.engine.repository import (
    Begun,
    DomainId,
    Repository,
    RootId,
    SessionId,
    State,
    Written,
)
from emberkeep.jobs.errors import JobCancelled
from emberkeep.jobs.queue import Job
from emberkeep.stores.errors import StoreError
from emberkeep.volumes.service import Attributes, Outcome, Reservation
from emberkeep.worker.progress import Telling
from emberkeep.worker.site import Failure, GaveUp, Run, Site, attached

_log = logging.getLogger(__name__)


def run(site: Site, run: Run) -> None:
    """Back up.  Raises `GaveUp`, `JobCancelled`, and what engine and volumes raise."""
    job = run.job
    run.failing = Detail.SERVICE_DOWN
    repository = site.repository(job.needs_repository)
    run.failing = Detail.CREATE_FAILED
    session = repository.new_session()
    backup, domain, begun = _begin(site, job, repository, session)
    run.begun = True
    reservation = _reserved(site, run)
    prefix = session_prefix(DomainId(domain.id), session)
    telling = Telling(site.notifications, site.pace, run, backup, prefix=prefix)
    with attached(
        run,
        lambda: site.volumes.open_source(reservation),
        working=Detail.CREATE_FAILED,
        closing=Detail.CLEANUP_FAILED,
    ) as source:
        written = repository.write(
            source,
            domain=DomainId(domain.id),
            session=session,
            begun=begun,
            description=describe(backup, reservation),
            settings=site.settings,
            progress=telling.report,
            checkpoint=run.checkpoint,
        )
    telling.all_sent()
    for damage in written.damaged:
        _log.warning("backup %s stored anew what its base has lost: %s", backup.id, damage)
    try:
        _commit(site, job, repository, backup, domain, reservation, written)
    except BaseException:
        _take_back(site, repository, domain, written)
        raise
    if not repository.examine(DomainId(domain.id), written):
        _log.error("backup %s shares data that was found damaged meanwhile", backup.id)


def _reserved(site: Site, run: Run) -> Reservation:
    """What the job reserved.  Raises `GaveUp` if somebody else decided about it since."""
    reservation = site.volumes.reservation(run.job.id, tx=None)
    working, run.failing = run.failing, None
    if reservation is None:
        raise GaveUp("Create backup aborted: the volume is not reserved for it any more.")
    status = reservation.volume.status
    if reservation.snapshot_id is None and status != "backing-up":
        raise GaveUp(f"Create backup aborted, expected volume status backing-up but got {status}.")
    run.failing = working
    return reservation


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job: the backup is in `error`, the volume as it was."""

    def write(tx: Transaction) -> tuple[Outcome, None]:
        _give_up(site, tx, job)
        event = Event.CREATION_FAILED
        if lifecycle.happen(tx, job.subject, event, fail_reason=failure.reason):
            site.tell(tx, job, Action.CREATE, failure.detail)
        return Outcome.FAILED, None

    site.seam.end(job, write, error=failure.reason)
    site.queue.wake()


def _give_up(site: Site, tx: Transaction, job: Job) -> None:
    sessions.abort_all(tx, job.id)
    _collect(site, tx, job)


def _collect(site: Site, tx: Transaction, job: Job, base: RootId | None = None) -> None:
    """Have removed what attempts of the job stored for nothing, and a base that only it held."""
    states = [state for _session, state in sessions.of_job(tx, job.id)]
    if base is not None and (state := sessions.state(tx, base)) is not None:
        states.append(state)
    domain = sessions.domain(tx, repository=job.needs_repository or "", **_label(job))
    if domain is not None and {State.ABORTED, State.REMOVING}.intersection(states):
        maintenance.enqueue(tx, site.queue, domain)


def cancel(site: Site, job: Job, *, begun: bool) -> None:
    """End the job that nobody wants any more; what became of the backup is not its business.

    One that had not `begun` finds the status that somebody gave the backup, and tells of it.
    """
    reason = "The backup was cancelled."

    def write(tx: Transaction) -> tuple[Outcome, None]:
        _give_up(site, tx, job)
        lifecycle.happen(tx, job.subject, Event.CREATION_FAILED, fail_reason=reason)
        if begun:
            site.notifications.after(tx, Told.CREATE_END, job.subject)
        elif lifecycle.is_kept(tx, job.subject):
            site.tell(tx, job, Action.CREATE, Detail.INVALID_STATUS)
        return Outcome.FAILED, None

    site.seam.end(job, write, error=reason)
    site.queue.wake()


def _begin(
    site: Site, job: Job, repository: Repository, session: SessionId
) -> tuple[Backup, Domain, Begun]:
    """The backup's row and domain, and what its session got of earlier attempts' and the base."""
    zone, label = job.arguments["availability_zone"], _label(job)
    with site.database.reading() as tx:
        domain = sessions.domain(tx, repository=repository.id, **label)
        backup = table.get(tx, job.subject)
    if backup is None:
        raise JobCancelled
    if job.attempt == 1 and backup.status == "creating":
        mine = replace(backup, host=site.hosts.get(zone), service=SERVICE, availability_zone=zone)
        site.notifications.send(Told.CREATE_START, mine)
    if domain is None:
        domain = Domain(repository.create_domain(), repository.id, **label)
    base = _base(site, repository, backup, domain)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        domain = sessions.domain(tx, repository=repository.id, **label) or sessions.add_domain(
            tx, domain
        )
        earlier = sessions.of_job(tx, job.id)
        begun = sessions.begin(
            tx,
            session,
            repository=repository.id,
            domain=DomainId(domain.id),
            base=base,
            predecessor=earlier[0][0] if earlier else None,
            job_id=job.id,
            attempt=job.attempt,
        )
        wanted = table.change(
            tx,
            job.subject,
            when=("creating",),
            host=site.hosts.get(zone),
            service=SERVICE,
            availability_zone=zone,
            container=job.arguments["container"],
        )
        found = table.get(tx, job.subject)
    if not wanted or found is None:
        raise JobCancelled
    return found, domain, begun


def _label(job: Job) -> dict[str, str]:
    """What names the domain in the repository."""
    return {"project_id": job.project_id, "container": job.arguments["container"]}


def _base(site: Site, repository: Repository, backup: Backup, domain: Domain) -> RootId | None:
    """The backup to share with: the newest one of the volume in this domain that can be read.

    Not the parent, which may be in another zone or container, or deleted.
    """
    with site.database.reading() as tx:
        found = table.newest_available(
            tx, volume_id=backup.volume_id, repository=repository.id, domain=domain.id
        )
    if found is None or found.root is None:
        return None
    root = RootId(found.root)
    try:
        repository.describe(DomainId(domain.id), root, sha256=found.root_sha256)
    except DamagedObject as error:
        _log.warning("backup %s does not build on %s: %s", backup.id, found.id, error)
        return None
    return root


def describe(backup: Backup, reservation: Reservation) -> dict[str, Any]:
    """What the root keeps of the backup and of its volume; `backups.rebuild` reads it."""
    volume, attributes = reservation.volume, reservation.volume.attributes
    moment = backup.data_timestamp
    return {
        "volume_id": backup.volume_id,
        "backup": {
            "id": backup.id,
            "project_id": backup.project_id,
            "user_id": backup.user_id,
            "display_name": backup.display_name,
            "display_description": backup.display_description,
            "metadata": backup.metadata,
            "volume_id": backup.volume_id,
            "snapshot_id": backup.snapshot_id,
            "parent_id": backup.parent_id,
            "container": backup.container,
            "size": volume.size_gib,
            "availability_zone": backup.availability_zone,
            "data_timestamp": moment and moment.isoformat(),
            "created_at": backup.created_at.isoformat(),
        },
        "volume": {
            "name": attributes.name,
            "description": attributes.description,
            "metadata": attributes.metadata,
            "image_metadata": attributes.image_metadata,
            "bootable": attributes.bootable,
            "size": volume.size_gib,
            "availability_zone": volume.availability_zone,
        },
    }


def _commit(
    site: Site,
    job: Job,
    repository: Repository,
    backup: Backup,
    domain: Domain,
    reservation: Reservation,
    written: Written,
) -> None:
    """Make the backup available, in one transaction with everything that hangs on it."""
    place = Place(repository.id, domain.id, written.root, written.sha256)

    def write(tx: Transaction) -> tuple[Outcome, Attributes | None]:
        committed = lifecycle.happen(
            tx,
            backup.id,
            Event.CREATED,
            fail_reason=None,
            size=reservation.volume.size_gib,
            size_bytes=written.size,
            object_count=written.segments,
            service_metadata=str(place),
            repository=place.repository,
            domain=place.domain,
            root=place.root,
            root_sha256=place.sha256,
        )
        if not committed:
            raise JobCancelled
        if not sessions.commit(
            tx,
            SessionId(written.root),
            base=written.base,
            pins=written.pins,
            uses=written.uses,
        ):
            raise SessionLost("what this attempt relied on was taken from it; begin again")
        if backup.parent_id is not None:
            table.count_child(tx, backup.parent_id, 1)
        site.notifications.after(tx, Told.CREATE_END, backup.id)
        _collect(site, tx, job, written.base)
        return Outcome.COMPLETED, None

    site.seam.end(job, write, done=written.size, stored=written.stored_bytes)
    site.queue.wake()


def _take_back(site: Site, repository: Repository, domain: Domain, written: Written) -> None:
    """Remove the root of an attempt that was given up meanwhile; a collection would, too."""
    with site.database.reading() as tx:
        given_up = sessions.state(tx, SessionId(written.root)) == State.ABORTED
    if given_up:
        with contextlib.suppress(StoreError):
            repository.delete_root(DomainId(domain.id), written.root)
