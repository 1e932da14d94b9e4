"""Statements about domains: whose backups are in which part of a repository."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from emberkeep.db.database import Transaction
from emberkeep.db.tables import domains


@dataclass(frozen=True, slots=True)
class Domain:
    """One project's backups of one container label in one repository."""

    id: str
    repository: str
    project_id: str
    container: str | None


def domain(tx: Transaction, *, repository: str, project_id: str, container: str) -> Domain | None:
    row = tx.row(
        sa.select(domains).where(
            domains.c.repository == repository,
            domains.c.project_id == project_id,
            domains.c.container == container,
        )
    )
    return None if row is None else Domain(**row)


def domains_of(tx: Transaction, repository: str) -> list[Domain]:
    found = sa.select(domains).where(domains.c.repository == repository).order_by(domains.c.id)
    return [Domain(**row) for row in tx.rows(found)]


def held_domain(tx: Transaction, domain_id: str) -> None:
    """Let nobody else who calls this for the domain go on until the transaction ends."""
    tx.rows(sa.select(domains.c.id).where(domains.c.id == domain_id).with_for_update())


def add_domain(tx: Transaction, new: Domain) -> Domain:
    """Register a new domain; of two for one label the first one counts, and is returned."""
    assert new.container is not None
    label = {"project_id": new.project_id, "container": new.container}
    try:
        with tx.connection.begin_nested():
            tx.changed(sa.insert(domains).values(id=new.id, repository=new.repository, **label))
    except IntegrityError:
        found = domain(tx, repository=new.repository, **label)
        if found is None:
            raise
        return found
    return new


def register_domain(tx: Transaction, found: Domain) -> None:
    """Register a domain that a store tells of; where another one has its label, without it."""
    if known_domain(tx, found.id) is not None:
        return
    if found.container is not None and add_domain(tx, found) == found:
        return
    values = {"id": found.id, "repository": found.repository, "project_id": found.project_id}
    tx.changed(sa.insert(domains).values(**values, container=None))


def known_domain(tx: Transaction, domain_id: str) -> Domain | None:
    row = tx.row(sa.select(domains).where(domains.c.id == domain_id))
    return None if row is None else Domain(**row)


def release_label(tx: Transaction, domain_id: str) -> None:
    """Let the next backup under the domain's label make a new domain."""
    tx.changed(sa.update(domains).where(domains.c.id == domain_id).values(container=None))


def repositories_with_domains(tx: Transaction) -> set[str]:
    """The repositories in which anything may have been backed up."""
    return set(tx.connection.scalars(sa.select(domains.c.repository).distinct()))
