"""The life of the repository that the vectors keep for ever: everything that version 1 writes.

Two domains; full and incremental backups; two data keys, one wrapped twice; maps of one and of two
heights, and none; a deleted parent and what a collection left of it, before and after a rebuilding
of the ledger; a segment with a list of damage; hints of a session and those that a collection
merged; a session that did not end and relies on what they led it to.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from emberkeep.engine import hints, keys, layout
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings, Written
from emberkeep.stores.base import Buffer
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10
SETTINGS = Settings(chunk_size=CHUNK, workers=0)
UNFINISHED = "a point in time"  # the change id of the backup that did not end


class _Killed(Exception):
    pass


@dataclass(frozen=True)
class Lived:
    """`images`: what each root restores to; `unfinished`: a session, and what it was to back up.

    `garbage`: the session of a deleted backup that no collection has seen.
    """

    life: "Life"
    images: dict[tuple[DomainId, RootId], bytes]
    unfinished: tuple[DomainId, SessionId, bytes]
    garbage: SessionId

    @property
    def objects(self) -> dict[str, bytes]:
        store = self.life.store
        return {item.name: store.get(item.name) for item in store.list("")}


def text(name: str) -> bytes:
    """A chunk that zstd makes small."""
    return (name.encode() * CHUNK)[:CHUNK]


def volume(size: int, chunks: dict[int, bytes]) -> bytes:
    image = bytearray(size)
    for number, chunk in chunks.items():
        image[number * CHUNK : (number + 1) * CHUNK] = chunk[: size - number * CHUNK]
    assert len(image) == size
    return bytes(image)


class _Store(MemoryStore):
    """Remembers what was ever put."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: dict[str, bytes] = {}

    def put(self, name: str, data: Buffer) -> None:
        super().put(name, data)
        self.ever[name] = bytes(data)


class Life:
    """What happens to a repository; the same in every run."""

    def __init__(self) -> None:
        self.store = _Store()
        self.random = repeatable("repository")
        self.key_manager = a_key_manager()
        self.images: dict[tuple[DomainId, RootId], bytes] = {}
        self.forget()
        self.domain = self.repository.create_domain()
        self.other_domain = self.repository.create_domain()

    def forget(self) -> None:
        """Begin with a ledger that knows nothing."""
        ticks = itertools.count(1)
        self.ledger = MemoryLedger(clock=lambda: next(ticks))
        self.open()

    def open(self) -> None:
        """Open the repository, as another process does."""
        self.repository = Repository.create(
            self.store, self.key_manager, ledger=a_ledger(self.ledger), random=self.random
        )

    def back_up(
        self,
        image: bytes,
        *,
        domain: DomainId | None = None,
        base: Written | None = None,
        settings: Settings = SETTINGS,
        change_id: str | None = None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> Written:
        source, domain = Image(image), domain or self.domain
        source.change_id = change_id  # type: ignore[assignment]
        written = self.repository.back_up(
            source, domain=domain, base=base.root if base else None, settings=settings,
            session=self.repository.new_session(), checkpoint=checkpoint,
            description={"volume_id": "4d2f8e0a-9b3c-4f5e-8a7d-1c6b5e4f3a2d", "name": "день"},
        )  # fmt: skip
        self.images[domain, written.root] = image
        return written

    def sample(self, name: str) -> bytes:
        """A chunk that hints tell of."""
        identify = self.repository._keys(self.domain).identify
        chunks = (text(f"{name} {number} ") for number in itertools.count())
        return next(chunk for chunk in chunks if hints.is_sample(identify(chunk)))

    def delete(self, written: Written) -> None:
        self.repository.delete(self.domain, written.root)
        del self.images[self.domain, written.root]

    def add_data_key(self) -> None:
        """A second data key, and the first one wrapped anew."""
        assert self.repository.add_data_key(self.domain) == 2
        known = self.repository._keys(self.domain)
        plain = keys.encode_domain_key(known.data[1], known.identity)
        context = keys.domain_key_context(self.repository.id, self.domain, 1)
        wrapped = self.key_manager.wrap(plain, domain=self.domain, context=context)
        self.store.put(f"{layout.key_prefix(self.domain, 1)}2", wrapped)
        self.open()

    def mark_as_damaged(self, written: Written) -> None:
        """Let a verification find a record damaged that is whole again afterwards."""
        name = layout.segment_name(self.domain, SegmentId(SessionId(written.root), 0))
        before = self.store.get(name)
        self.store._objects[name] = before[:80] + bytes((before[80] ^ 1,)) + before[81:]
        assert self.repository.verify(self.domain).quarantined
        self.store._objects[name] = before

    def leave_unfinished(self, image: bytes, base: Written) -> tuple[DomainId, SessionId, bytes]:
        """A session that is killed when it has put two checkpoints."""

        def checkpoint() -> None:
            if sum("/c/" in item.name for item in self.store.list("d/")) == 2:
                raise _Killed

        try:
            self.back_up(
                image, base=base, change_id=UNFINISHED, checkpoint=checkpoint,
                settings=replace(SETTINGS, checkpoint_bytes=0),
            )  # fmt: skip
        except _Killed:
            (item, *_rest) = self.store.list(f"d/{self.domain}/c/")
            return self.domain, layout.parse_checkpoint_name(item.name)[0], image
        raise AssertionError("it ended")


def live(noise: bytes) -> Lived:
    """All of it; `noise` is a chunk that zstd can't make smaller, or any other."""
    life = Life()
    numbered = {number: text(f"chunk {number} ") for number in (2, 3, 10, 11, 299, 300)}
    first = life.back_up(
        volume(300 * CHUNK + 100, {0: text("first "), 7: text("first, too "), **numbered}),
        change_id="snap-1",
    )
    changed = {**numbered, 0: text("changed "), 3: text("other "), 299: text("other tail ")}
    second = life.back_up(volume(300 * CHUNK + 100, changed), base=first, change_id="snap-2")
    life.add_data_key()
    third = life.back_up(volume(200 * CHUNK, {**changed, 10: text("third ")}), base=second)
    life.delete(first)
    life.repository.collect(life.domain)  # makes the first one's segment smaller
    life.forget()
    life.repository.settle()
    life.delete(second)
    life.repository.collect(life.domain)  # and once more
    small = replace(SETTINGS, segment_size=200)
    several = {number: text(f"several {number} ") for number in range(0, 600, 50)}
    several[25] = life.sample("several")
    fourth = life.back_up(volume(600 * CHUNK, several), settings=small)
    life.repository.collect(life.domain)  # merges hints
    grown = {**several, 600: life.sample("grown")}
    life.back_up(volume(601 * CHUNK, grown), base=fourth, settings=small)
    life.mark_as_damaged(fourth)
    life.back_up(b"", domain=life.other_domain)
    life.back_up(bytes(5 * CHUNK + 7), domain=life.other_domain)
    other = {1: noise, 2: text("of the other ")}
    life.back_up(volume(3 * CHUNK, other), domain=life.other_domain)
    begun = {**several, **numbered, 30: life.sample("unfinished")}
    unfinished = life.leave_unfinished(volume(900 * CHUNK, begun), third)
    lost = life.back_up(text("lost "))
    life.delete(lost)  # and nobody collects its segment
    return Lived(life, life.images, unfinished, SessionId(lost.root))
