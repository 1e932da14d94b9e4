"""A small repository in memory to try things on."""

from collections.abc import Callable
from copy import deepcopy

from emberkeep.engine.ids import SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings, Written
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10
SMALL = Settings(chunk_size=CHUNK, workers=2)


class Place:
    """A repository with one domain."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.ledger = MemoryLedger()
        self.repository = self.opened()
        self.domain = self.repository.create_domain()

    def opened(self) -> Repository:
        """The repository as another process has it."""
        return Repository.create(
            self.store, a_key_manager(), ledger=a_ledger(self.ledger), random=_random
        )

    def back_up(
        self,
        data: bytes,
        *,
        base: Written | None = None,
        settings: Settings = SMALL,
        change_id: str | None = None,
        session: SessionId | None = None,
        predecessor: SessionId | None = None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> Written:
        image = Image(data)
        image.change_id = change_id  # type: ignore[assignment]
        return self.repository.back_up(
            image,
            domain=self.domain,
            description={"volume_id": "v"},
            base=base.root if base else None,
            session=session,
            predecessor=predecessor,
            settings=settings,
            checkpoint=checkpoint,
        )

    def restored(self, written: Written, *, over: bytes | None = None) -> bytes:
        disk = Disk(written.size, content=over)
        self.repository.restore(self.domain, written.root, disk, sha256=written.sha256)
        assert disk.flushed
        return bytes(disk.data)

    def give_up(self) -> None:
        """What nobody is going to end is aborted."""
        for session, state in self.ledger.sessions(self.domain).items():
            if state == State.ACTIVE:
                self.ledger.abort(session)

    def names(self, kind: str) -> list[str]:
        return [item.name for item in self.store.list(f"d/{self.domain}/{kind}/")]

    def tamper(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Change an object behind everybody's back."""
        self.store._objects[name] = change(self.store._objects[name])


def copy_of(ledger: MemoryLedger) -> MemoryLedger:
    """All of a ledger as it is at this moment."""
    copy = MemoryLedger(ledger._clock)
    for name in ("_incarnation", "_cycle", "_sessions", "_segsets", "_holds"):
        setattr(copy, name, deepcopy(getattr(ledger, name)))
    return copy


_random = repeatable("place")


def pattern(size: int, seed: str = "pattern") -> bytes:
    return repeatable(seed)(size)


def flipped(at: int) -> Callable[[bytes], bytes]:
    """Turns one bit of an object."""

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return flip
