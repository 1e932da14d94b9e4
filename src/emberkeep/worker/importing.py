"""The job of an import: a record becomes an available backup if its data is there."""

from emberkeep.backups import lifecycle, records
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.records import SERVICE, Place
from emberkeep.db import sessions
from emberkeep.db.database import Transaction
from emberkeep.db.sessions import Domain
from emberkeep.engine.errors import DamagedObject, LedgerBehind
from emberkeep.engine.repository import DomainId, Found, Repository, Root, RootId, State
from emberkeep.jobs.errors import JobCancelled
from emberkeep.jobs.queue import Job
from emberkeep.worker.site import Failure, GaveUp, Run, Site


def run(site: Site, run: Run) -> None:
    """Import.  Raises `GaveUp`."""
    job = run.job
    content, service = job.arguments["content"], job.arguments["service"]
    if not SERVICE.startswith(service):
        raise GaveUp(_no_service(service))
    if lacking := records.missing(content):
        raise GaveUp(
            "Driver successfully decoded imported backup data, but there are missing fields "
            f"({', '.join(lacking)})."
        )
    place = Place.parse(content["service_metadata"])
    if place is None:
        raise GaveUp("The record's service_metadata names no place of this service.")
    if place.repository not in site.repositories:
        raise GaveUp(_no_service(service))
    try:
        columns = records.columns(content)
    except (ValueError, OverflowError) as error:
        raise GaveUp(f"The record can't be imported: {error}.") from error
    repository = site.repositories[place.repository]
    with site.database.reading() as tx:
        state = sessions.state(tx, RootId(place.root))
    _check(state)
    root = _look(repository, place)
    unknown = _adopt(repository, place) if state is None else None
    zone = zone_of(site, place.repository)
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        _refer(tx, place, root, unknown)
        imported = lifecycle.happen(
            tx,
            job.subject,
            Event.CREATED,
            **{
                **columns,
                "fail_reason": None,
                "service": SERVICE,
                "availability_zone": zone,
                "host": site.hosts.get(zone or ""),
                "repository": place.repository,
                "domain": place.domain,
                "root": place.root,
                "root_sha256": place.sha256,
                "size_bytes": root.size,
            },
        )
        if not imported:  # the row was deleted meanwhile: nothing of it is to stay
            raise JobCancelled
        site.queue.finish(tx, job)


def fail(site: Site, job: Job, failure: Failure) -> None:
    """End the job: the row is in `error`, and can be deleted."""
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        lifecycle.happen(tx, job.subject, Event.CREATION_FAILED, fail_reason=failure.reason)
        site.queue.fail(tx, job, failure.reason)


def _refer(tx: Transaction, place: Place, root: Root, unknown: Found | None) -> None:
    """Add a reference to the root, registering its session if this database has none.

    Raises `GaveUp` if the root was deleted, or its session never came to be a backup.
    """
    if sessions.refer(tx, RootId(place.root)):
        return
    _check(sessions.state(tx, RootId(place.root)))
    if unknown is None:
        raise GaveUp("The data of this record was deleted.")
    sessions.register_domain(tx, _domain(place, root))
    sessions.register(tx, unknown, repository=place.repository, domain=DomainId(place.domain))


def _adopt(repository: Repository, place: Place) -> Found:
    try:
        return repository.adopt(DomainId(place.domain), RootId(place.root))
    except (DamagedObject, LedgerBehind) as error:
        raise GaveUp(f"The record's data is not to be had: {error}") from error


def _check(state: State | None) -> None:
    """Raise `GaveUp` if a session in this state has, or will have, no data."""
    if state not in (None, State.COMMITTED):
        raise GaveUp(f"The data of this record was deleted (its session is {state}).")


def zone_of(site: Site, repository_id: str) -> str | None:
    """A zone of this worker that has the repository."""
    found = (zone for zone, there in site.zone_repositories.items() if there == repository_id)
    return next(found, None)


def _look(repository: Repository, place: Place) -> Root:
    """The root, if it is the one that was exported.  Raises `GaveUp`."""
    try:
        return repository.describe(DomainId(place.domain), RootId(place.root), sha256=place.sha256)
    except DamagedObject as error:
        raise GaveUp(f"The record's data is not to be had: {error}") from error


def _domain(place: Place, root: Root) -> Domain:
    try:
        kept = root.description["backup"]
        return Domain(place.domain, place.repository, kept["project_id"], kept["container"])
    except (KeyError, TypeError) as error:
        raise GaveUp(f"The record's data does not tell whose it is: no {error}") from error


def _no_service(service: str) -> str:
    return (
        "Import record failed, cannot find backup service to perform the import. "
        f"Request service {service}."
    )
