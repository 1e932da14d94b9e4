"""The job of a restore: from an available backup to the bytes and attributes of a volume."""

from typing import Any

from emberkeep.backups import lifecycle
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.messages import Action, Detail
from emberkeep.backups.notifications import Event as Told
from emberkeep.backups.restoring import GENERATED_NAME
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.engine.repository import DomainId, Repository, RootId
from emberkeep.jobs.errors import JobCancelled
from emberkeep.jobs.queue import Job
from emberkeep.volumes.service import Attributes, Outcome, Purpose, Reservation
from emberkeep.worker.site import Failure, GaveUp, Run, Site, attached

WRITABLE = ("restoring-backup", "creating")  # a volume that waits for its bytes


def run(site: Site, run: Run) -> None:
    """Restore.  Raises `GaveUp`, `JobCancelled`, and what engine and volumes raise."""
    job = run.job
    with site.database.reading() as tx:
        backup = table.get(tx, job.subject)
    mine = {"restore_volume_id": job.arguments["volume_id"], "status": "restoring"}
    if backup is None or any(getattr(backup, name) != value for name, value in mine.items()):
        raise JobCancelled
    if job.attempt == 1:
        site.notifications.send(Told.RESTORE_START, backup)
    run.failing = Detail.RESTORE_FAILED
    if backup.root is None or backup.domain is None:
        raise GaveUp("The backup has no data to restore; delete it.")
    domain, root = DomainId(backup.domain), RootId(backup.root)
    run.failing = Detail.SERVICE_DOWN
    repository = site.repository(backup.repository)
    run.failing = Detail.RESTORE_FAILED
    _hold(site, job, repository, domain, root)
    run.begun = True
    reservation = _reserved(site, run)
    found = repository.describe(domain, root, sha256=backup.root_sha256)
    with attached(
        run,
        lambda: site.volumes.open_target(reservation),
        working=Detail.RESTORE_FAILED,
        closing=Detail.DETACH_FAILED,
    ) as target:
        repository.read(
            domain,
            root,
            target,
            sha256=backup.root_sha256,
            settings=site.settings,
            progress=run.report,
            checkpoint=run.checkpoint,
        )
    original = _attributes(found.description["volume"])
    _end(site, job, attributes_after(backup, reservation, original), done=found.size)


def _hold(site: Site, job: Job, repository: Repository, domain: DomainId, root: RootId) -> None:
    """Keep the backup's data until the job has ended, whatever is deleted meanwhile."""
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        sessions.abort_all(tx, job.id)
        if not sessions.begin_reading(
            tx,
            repository.new_session(),
            repository=repository.id,
            domain=domain,
            root=root,
            job_id=job.id,
            attempt=job.attempt,
        ):
            raise GaveUp("The backup's data was deleted, or is lost; see emberkeep repo rebuild.")


def _reserved(site: Site, run: Run) -> Reservation:
    """What the job reserved.  Raises `GaveUp` if somebody else decided about the volume since."""
    reservation = site.volumes.reservation(run.job.id, tx=None)
    working, run.failing = run.failing, Detail.INVALID_VOLUME
    if reservation is None:
        raise GaveUp("Restore aborted: the volume is not reserved for it any more.")
    if (status := reservation.volume.status) not in WRITABLE:
        raise GaveUp(
            f"Restore backup aborted, expected volume status {','.join(WRITABLE)} but got {status}."
        )
    run.failing = working
    return reservation


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job: the backup is available as before, the volume in `error_restoring`."""

    def write(tx: Transaction) -> tuple[Outcome, None]:
        if not _give_back(tx, job, failure.reason):
            return Outcome.CANCELLED, None
        site.tell(tx, job, Action.RESTORE, failure.detail)
        return Outcome.FAILED, None

    site.seam.end(job, write, error=failure.reason)


def cancel(site: Site, job: Job, *, begun: bool) -> None:
    """End the job that nobody wants any more: the volume holds some of both, so it is `error`.

    One that had not `begun` finds the status that somebody gave the backup, and tells of it.
    """

    def write(tx: Transaction) -> tuple[Outcome, None]:
        if not begun and lifecycle.is_kept(tx, job.subject):
            site.tell(tx, job, Action.RESTORE, Detail.INVALID_STATUS)
        _give_back(tx, job, None)
        if begun:
            site.notifications.after(tx, Told.RESTORE_END, job.subject)
        return Outcome.CANCELLED, None

    site.seam.end(job, write, error="The restore was cancelled.")


def attributes_after(backup: Backup, reservation: Reservation, original: Attributes) -> Attributes:
    """What the restored volume is called and carries."""
    volume, target = reservation.volume, reservation.volume.attributes
    fresh = reservation.purpose is Purpose.CREATE
    nameless = not target.name or target.name.startswith(GENERATED_NAME)
    metadata = dict(original.metadata or target.metadata)
    source = target.metadata.get("src_backup_id")
    if volume.id != backup.volume_id or source not in (None, backup.id):
        metadata["src_backup_id"] = backup.id
    images = original.image_metadata
    return Attributes(
        name=original.name if nameless else target.name,
        description=original.description if nameless else target.description,
        metadata=metadata,
        image_metadata=images or target.image_metadata,
        bootable=target.bootable or bool(images) or (fresh and nameless and original.bootable),
    )


def _attributes(kept: dict[str, Any]) -> Attributes:
    names = ("name", "description", "metadata", "image_metadata", "bootable")
    return Attributes(**{name: kept[name] for name in names})


def _end(site: Site, job: Job, restored: Attributes, *, done: int) -> None:
    def write(tx: Transaction) -> tuple[Outcome, Attributes | None]:
        mine = _give_back(tx, job, None)
        site.notifications.after(tx, Told.RESTORE_END, job.subject)
        if mine:
            return Outcome.COMPLETED, restored
        return Outcome.CANCELLED, None

    site.seam.end(job, write, done=done)


def _give_back(tx: Transaction, job: Job, reason: str | None) -> bool:
    """Make the backup available again, its data held no more; False if somebody cancelled.

    Where another restore of the backup was accepted since, its status is that one's business.
    """
    sessions.abort_all(tx, job.id)
    mine = {"restore_volume_id": job.arguments["volume_id"]}
    ended = lifecycle.happen(tx, job.subject, Event.RESTORE_ENDED, only_if=mine, fail_reason=reason)
    if not ended:
        lifecycle.happen(tx, job.subject, Event.RESTORE_CANCELLED, only_if=mine)
    return ended
