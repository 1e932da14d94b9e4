"""A repository in a directory, whose ledger is kept in a file from one process to the next."""

import json
from dataclasses import asdict
from pathlib import Path

from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.ledger import Found, Phase, State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Written
from emberkeep.stores.base import Store
from emberkeep.stores.posix import PosixStore


class Kept:
    """The repository of one domain that `create` made in `directory`."""

    def __init__(self, directory: Path, store: Store | None = None) -> None:
        """`store`: how to come by the objects, if not directly."""
        self._notes = directory / "notes.json"
        notes = json.loads(self._notes.read_text())
        self.domain = DomainId(notes["domain"])
        self.newest = RootId(notes["newest"]) if notes["newest"] else None
        self._collections = int(notes["collections"])
        found = [Found(**session) for session in notes["sessions"]]
        self._uses = {session.session: session.uses for session in found}
        self._ledger = MemoryLedger()
        self._ledger.settle(self.domain, incarnation=1, cycle=self._collections, found=found)
        self.repository = Repository.open(
            store or PosixStore(directory / "store"),
            KeyFile.load(directory / "key"),
            ledger=lambda _repository: self._ledger,
        )

    @classmethod
    def create(cls, directory: Path) -> None:
        keys = KeyFile.create(directory / "key")
        domain = Repository.create(PosixStore(directory / "store"), keys).create_domain()
        notes = {"domain": domain, "newest": None, "collections": 0, "sessions": []}
        (directory / "notes.json").write_text(json.dumps(notes))

    def add(self, written: Written) -> None:
        """Keep a backup that was just made."""
        self.newest = written.root
        self._uses[SessionId(written.root)] = written.uses
        self._save()

    def keep_newest_only(self) -> None:
        """Delete all other backups."""
        for root in list(self.repository.roots(self.domain)):
            if root != self.newest:
                self.repository.delete(self.domain, root)

    def collected(self) -> None:
        """Keep what a collection did."""
        self._collections += 1
        self._save()

    def _save(self) -> None:
        found = []
        for session, state in self._ledger.sessions(self.domain).items():
            segset, committed = self._ledger.segset(session), state == State.COMMITTED
            if segset is not None and (committed or segset.phase != Phase.GONE):
                found.append(Found(session, committed, segset.gens, self._uses.get(session, ())))
        notes = {
            "domain": self.domain,
            "newest": self.newest,
            "collections": self._collections,
            "sessions": [asdict(session) for session in found],
        }
        self._notes.write_text(json.dumps(notes))
