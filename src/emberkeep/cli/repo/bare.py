"""A bare repository, opened: its store, its key, and its ledger on this machine.

Backups lie in domains, one for each label that this machine gave (`--container`).  Reading needs no
ledger; then everything that the store shows counts.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emberkeep.cli.errors import Failure
from emberkeep.cli.repo import locks
from emberkeep.cli.repo.options import Where
from emberkeep.db import domains, migrations
from emberkeep.db.database import Database, DatabaseError
from emberkeep.db.domains import Domain
from emberkeep.db.ledger import SqlLedger
from emberkeep.engine.errors import EngineError, LedgerBehind, NotARepository
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import DomainId, Ledger, Repository, State
from emberkeep.stores.open import open_store

_LEDGER = "ledger.sqlite"
_OWNER = "local"  # in the place of a project's id
_SILENCE = 30 * 60  # seconds after which a session without a sign of life is given up


@dataclass(frozen=True, slots=True)
class Bare:
    """An open repository; `home` is its part of the ledger directory."""

    repository: Repository
    home: Path
    database: Database | None

    def labels(self) -> dict[DomainId, str | None]:
        """The domains that the ledger knows, with their labels."""
        if self.database is None:
            return {}
        with self.database.reading() as tx:
            rows = domains.domains_of(tx, self.repository.id)
        return {DomainId(row.id): row.container for row in rows}

    def all_labels(self) -> dict[DomainId, str | None]:
        """All domains of the store with their labels, as the ledger or their backups tell them."""
        known = self.labels()
        return {
            domain: known[domain] if domain in known else label(self.repository, domain)
            for domain in self.repository.domains()
        }

    def domain(self, label: str) -> DomainId:
        """The label's domain, made if there is none."""
        for domain, known in self.labels().items():
            if known == label:
                return domain
        return self.register(self.repository.create_domain(), label)

    def register(self, domain: DomainId, label: str | None) -> DomainId:
        """Have the ledger know a domain; returns the one that has its label."""
        assert self.database is not None
        with self.database.writing() as tx:
            row = Domain(domain, self.repository.id, _OWNER, label)
            if label is None:
                domains.register_domain(tx, row)
                return domain
            return DomainId(domains.add_domain(tx, row).id)

    def abort_silent(self) -> None:
        """Give up the sessions that have been silent for long and that nobody runs."""
        ledger = self.repository.ledger
        ledger.expire(silent_for=_SILENCE)
        running = locks.running(self.home)
        for domain in self.labels():
            for session, state in ledger.sessions(domain).items():
                if state == State.EXPIRED and session not in running:
                    ledger.abort(session)


def label(repository: Repository, domain: DomainId) -> str | None:
    """The label that a backup of the domain tells; None if none can be read."""
    for root in repository.roots(domain):
        with contextlib.suppress(EngineError):
            found = repository.describe(domain, root).description.get("container")
            if isinstance(found, str):
                return found
    return None


@contextlib.contextmanager
def reading(where: Where) -> Iterator[Bare]:
    """Open a repository to read, with its ledger if this machine has one that is not outdated."""
    with _Kept(where) as kept:
        found = kept.open()
        try:
            if found.database is not None:
                found.repository.check_ledger()
        except LedgerBehind:
            found = Bare(_opened(where), found.home, None)
        yield found


@contextlib.contextmanager
def writing(where: Where) -> Iterator[Bare]:
    """Open a repository to write.  Raises `Failure` and `LedgerBehind` if its ledger is lost."""
    with _Kept(where) as kept:
        found = kept.open()
        if found.database is None:
            repository = found.repository
            if any(any(repository.roots(domain)) for domain in repository.domains()):
                raise Failure(
                    f"{where.ledger_dir} holds no ledger of this repository, but there are "
                    "backups: run emberkeep repo rebuild, while no other process uses it"
                )
            make(where, repository.id)
            found = kept.open()
        found.repository.check_ledger()
        yield found


@contextlib.contextmanager
def rebuilding(where: Where) -> Iterator[Bare]:
    """Open a repository with a ledger to be rebuilt, while nobody else on this machine uses it.

    A ledger that was missing has its name only once the block has ended well.
    """
    repository_id = _opened(where).id
    home = _home(where, repository_id)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, new = home / _LEDGER, home / f"{_LEDGER}.new"
    with locks.alone(home):
        new.unlink(missing_ok=True)
        used = path if path.exists() else new
        with contextlib.closing(Database.in_file(used)) as database:
            _upgrade(database, used)
            yield Bare(_opened(where, partial(SqlLedger, database)), home, database)
        used.rename(path)


def make(where: Where, repository_id: str) -> None:
    """Make the ledger of a repository without backups, unless there is one."""
    home = _home(where, repository_id)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / _LEDGER
    with locks.making(home), contextlib.closing(Database.in_file(path)) as database:
        _upgrade(database, path)


class _Kept:
    """The ledger that this machine keeps of a repository, open as long as the block."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._held = contextlib.ExitStack()
        self._database: Database | None = None

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()

    def open(self) -> Bare:
        """Open the repository with it, if there is one."""
        repository = _opened(self._where, self._ledger)
        return Bare(repository, _home(self._where, repository.id), self._database)

    def _ledger(self, repository_id: str) -> Ledger | None:
        home = _home(self._where, repository_id)
        path = home / _LEDGER
        if not path.exists():
            return None
        self._held.enter_context(locks.shared(home))
        self._database = self._held.enter_context(contextlib.closing(Database.in_file(path)))
        with locks.making(home):
            _upgrade(self._database, path)
        return SqlLedger(self._database, repository_id)


def _upgrade(database: Database, path: Path) -> None:
    try:
        migrations.upgrade(database)
    except DatabaseError as error:
        raise Failure(
            f"{path} can't be read ({error.orig}); move it away, then run emberkeep repo rebuild"
        ) from error


def _opened(where: Where, ledger: Callable[[str], Ledger | None] = lambda _id: None) -> Repository:
    try:
        return Repository.open(open_store(where.url), KeyFile.load(where.key_file), ledger=ledger)
    except NotARepository as error:
        raise Failure(f"{where.url}: {error}") from error


def _home(where: Where, repository_id: str) -> Path:
    return where.ledger_dir / repository_id
