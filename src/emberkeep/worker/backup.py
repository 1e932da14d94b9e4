"""The job of a backup: from a reserved volume to an available backup."""

import contextlib
import logging
from typing import Any

from emberkeep.backups import collection, lifecycle
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.records import SERVICE, Place
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.db.sessions import Domain
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.repository import DomainId, Repository, RootId, SessionId, Written
from emberkeep.jobs.errors import JobCancelled
from emberkeep.jobs.queue import Job
from emberkeep.stores.errors import StoreError
from emberkeep.volumes.service import Attributes, Outcome, Reservation
from emberkeep.worker.site import GaveUp, HandBack, Run, Site

_log = logging.getLogger(__name__)
_DOMAIN_BUSY = 1.0  # seconds until a domain that is collected is looked at again


def run(site: Site, run: Run) -> None:
    """Back up.  Raises `GaveUp`, `HandBack`, `JobCancelled`, and what engine and volumes raise."""
    job = run.job
    repository = site.repository(job.needs_repository)
    session = repository.new_session()
    backup, domain = _begin(site, job, repository, session)
    reservation = site.volumes.reservation(job.id, tx=None)
    if reservation is None:
        raise GaveUp("Create backup aborted: the volume is not reserved for it any more.")
    base = _base(site, repository, backup, domain)
    written = None
    try:
        with site.volumes.open_source(reservation) as source:
            written = repository.back_up(
                source,
                domain=DomainId(domain.id),
                session=session,
                description=describe(backup, reservation),
                base=base,
                settings=site.settings,
                progress=run.report,
                checkpoint=run.checkpoint,
            )
        for damage in written.damaged:
            _log.warning("backup %s stored anew what its base has lost: %s", backup.id, damage)
        _commit(site, job, repository, backup, domain, reservation, written)
    except DamagedObject as error:
        if base is not None and _is_gone(site, base):
            _log.info("backup %s begins again without its base, just deleted", backup.id)
            raise HandBack from error
        raise
    except BaseException:
        if written is not None:
            _remove_root(site, repository, domain, written)
        raise


def fail(site: Site, job: Job, reason: str) -> None:
    """End the job: the backup is in `error`, the volume as it was."""

    def write(tx: Transaction) -> tuple[Outcome, None]:
        sessions.abort(tx, job.id)
        _collect(site, tx, job)
        lifecycle.happen(tx, job.subject, Event.CREATION_FAILED, fail_reason=reason)
        return Outcome.FAILED, None

    site.seam.end(job, write, error=reason)
    site.queue.wake()


def _collect(site: Site, tx: Transaction, job: Job) -> None:
    """Have removed what attempts of the job stored for nothing."""
    held = site.queue.hold(tx, job)
    if held.domain and held.needs_repository and sessions.has_aborted(tx, job.id):
        collection.enqueue(
            tx,
            site.queue,
            domain=held.domain,
            repository=held.needs_repository,
            project_id=job.project_id,
            user_id=job.user_id,
        )


def cancel(site: Site, job: Job) -> None:
    """End the job that nobody wants any more; what became of the backup is not its business."""
    fail(site, job, "The backup was cancelled.")


def _begin(
    site: Site, job: Job, repository: Repository, session: SessionId
) -> tuple[Backup, Domain]:
    """The backup's row and domain; earlier attempts are given up, this one's session begins."""
    zone, container = job.arguments["availability_zone"], job.arguments["container"]
    label = {"project_id": job.project_id, "container": container}
    with site.database.reading() as tx:
        domain = sessions.domain(tx, repository=repository.id, **label)
    if domain is None:
        domain = Domain(repository.create_domain(), repository.id, job.project_id, container)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        domain = sessions.domain(tx, repository=repository.id, **label) or sessions.add_domain(
            tx, domain
        )
        if not site.queue.set_domain(tx, job, domain.id):
            raise HandBack(delay=_DOMAIN_BUSY)
        sessions.begin(
            tx,
            session=session,
            repository=repository.id,
            domain_id=domain.id,
            job_id=job.id,
            attempt=job.attempt,
        )
        begun = table.change(
            tx,
            job.subject,
            when=("creating",),
            host=site.hosts.get(zone),
            service=SERVICE,
            availability_zone=zone,
            container=container,
        )
        backup = table.get(tx, job.subject)
    if not begun or backup is None:
        raise JobCancelled
    return backup, domain


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


def _is_gone(site: Site, root: RootId) -> bool:
    with site.database.reading() as tx:
        return sessions.state(tx, root) != sessions.COMMITTED


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
        if not committed or not sessions.move(
            tx, written.root, before=sessions.ACTIVE, after=sessions.COMMITTED
        ):
            raise JobCancelled
        if backup.parent_id is not None:
            table.count_child(tx, backup.parent_id, 1)
        _collect(site, tx, job)
        return Outcome.COMPLETED, None

    site.seam.end(job, write, done=written.size, stored=written.stored_bytes)
    site.queue.wake()


def _remove_root(site: Site, repository: Repository, domain: Domain, written: Written) -> None:
    """Remove the root of a session that was not committed; a collection would, too."""
    with site.database.writing() as tx:
        if sessions.state(tx, written.root) == sessions.COMMITTED:
            return
        sessions.move(tx, written.root, before=sessions.ACTIVE, after=sessions.ABORTED)
    with contextlib.suppress(StoreError):
        repository.delete_root(DomainId(domain.id), written.root)
