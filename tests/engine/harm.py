"""A small repository whose objects are harmed one by one, and what must come of it.

What each object means to which backup is found out by the reader that was made from the
specification alone (plain_reader).
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.engine import life
from tests.engine.plain_reader import PlainDomain, PlainRepository, Record

from emberkeep.engine.errors import EngineError
from emberkeep.engine.ids import DomainId, RootId
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.protocols import Extent
from emberkeep.engine.repository import Repository, Settings, Written
from emberkeep.engine.verifier import Verified
from emberkeep.stores.base import Buffer
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager, a_ledger, repeatable

ALONE = Settings(workers=0)
Roots = frozenset[RootId]
NOBODY: Roots = frozenset()


class Paper:
    """A `Target` that notes what is written to it."""

    reads_as_zeros = True

    def __init__(self, size: int) -> None:
        self.size = size
        self.written: dict[int, bytes] = {}

    def write(self, offset: int, data: Buffer) -> None:
        self.written[offset] = bytes(data)

    def zero(self, offset: int, length: int) -> None:
        raise AssertionError("it reads as zeros")

    def flush(self) -> None:
        pass


def kind_of(name: str) -> str:
    """What an object is; `compacted` are segments of later generations, `key` is of a domain."""
    match name.split("/"):
        case ["key", *_rest]:
            return "metadata key"
        case ["d", _domain, "s", *_rest] if not name.endswith(".0"):
            return "compacted"
        case ["d", _domain, kind, *_rest]:
            return kind
        case [kind, *_rest]:
            return kind
    raise AssertionError(name)


@dataclass(frozen=True)
class Backup:
    """A `Source`, and what a restore of it writes, by its offset."""

    domain: DomainId
    size: int
    written: dict[int, bytes]
    change_id: str | None = None

    @classmethod
    def of(cls, domain: DomainId, size: int, chunks: Mapping[int, bytes], **more: str) -> "Backup":
        written = {n * life.CHUNK: chunk[: size - n * life.CHUNK] for n, chunk in chunks.items()}
        return cls(domain, size, written, **more)

    def extents(self) -> Iterator[Extent]:
        return (Extent(begin, len(data)) for begin, data in sorted(self.written.items()))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        for begin in range(offset, offset + len(buffer), life.CHUNK):
            data = self.written[begin]
            buffer[begin - offset : begin - offset + len(data)] = data


@dataclass(frozen=True)
class Part:
    """A range of a segment: its header, a record, or its end (footer and trailer)."""

    begin: int
    end: int
    what: str  # header, chunk, ids, node, end
    reached_by: Roots


@dataclass(frozen=True)
class Outcome:
    """What must come of a harm: who can't be restored, and who is put into quarantine.

    A verification of depth 1 finds what it must (`seen_at_once`) and may find the rest.
    """

    lost: Roots = NOBODY
    marked: Roots = NOBODY
    seen_at_once: Roots = NOBODY
    told: bool = False  # whether a verification names the object though nobody needs it
    refuses: bool = False  # whether all of a domain, or all, can't be opened
    found_by_its_key: bool = False  # whether only the third depth finds it


def copied(ledger: MemoryLedger) -> MemoryLedger:
    """Another one that knows the same."""
    copy_of = MemoryLedger(clock=lambda: 1)
    for name in ("_incarnation", "_cycle", "_sessions", "_segsets", "_holds"):
        setattr(copy_of, name, copy.deepcopy(getattr(ledger, name)))
    return copy_of


@dataclass
class Patient:
    """The repository with its ledger, to be harmed, looked at and thrown away."""

    store: MemoryStore
    ledger: MemoryLedger
    backups: dict[RootId, Backup]
    draw: Callable[[int], bytes] = field(default_factory=lambda: repeatable("harm"))

    def open(self, *, with_ledger: bool = True) -> Repository:
        ledgers = {"ledger": a_ledger(self.ledger)} if with_ledger else {}
        return Repository.open(self.store, a_key_manager(), random=self.draw, **ledgers)

    def restored(self, root: RootId, *, with_ledger: bool = True) -> str | None:
        """Restore a backup; what it is refused with, or None if all is as it was."""
        backup = self.backups[root]
        paper = Paper(backup.size)
        try:
            repository = self.open(with_ledger=with_ledger)
            repository.restore(backup.domain, root, paper, settings=ALONE)
        except EngineError as error:
            return str(error)
        assert paper.written == backup.written, f"wrong bytes of {root}"
        return None

    def lost(self, name: str, roots: Iterable[RootId] = (), *, with_ledger: bool = True) -> Roots:
        """Which of the backups (all) can't be restored; all others are whole.  `name` is harmed."""
        lost = set()
        for root in roots or self.backups:
            refused = self.restored(root, with_ledger=with_ledger)
            if refused is None:
                continue
            lost.add(root)
            if "/s/" in name or "/r/" in name:
                assert (name if with_ledger else name.partition(".")[0]) in refused
                assert root in refused
            if "/key/" in name:
                assert name.rpartition("/")[0] in refused
        return frozenset(lost)

    def verified(self, depth: int) -> list[Verified]:
        """Verify all domains."""
        repository = self.open()
        domains = sorted({backup.domain for backup in self.backups.values()})
        return [repository.verify(domain, depth=depth) for domain in domains]

    def marked(self) -> Roots:
        """The backups in quarantine."""
        return frozenset(root for root in self.backups if self.ledger.damage(root))

    def back_up(self, image: Backup, *, base: RootId | None = None, **more: Any) -> Written:
        """Back up an image, which the patient has from then on."""
        written = self.open().back_up(
            image, domain=image.domain, base=base, description={}, settings=life.SETTINGS, **more
        )
        self.backups = {**self.backups, written.root: image}
        return written

    def collect(self) -> None:
        """Collect all domains."""
        repository = self.open()
        for domain in sorted({backup.domain for backup in self.backups.values()}):
            repository.collect(domain)


class Ward:
    """Keeps the repository as it is when nothing was harmed."""

    def __init__(self) -> None:
        self.lived = life.live(life.text("of the other, too "))
        self._ledger = self.lived.life.ledger
        for domain in (self.lived.life.domain, self.lived.life.other_domain):
            self.lived.life.repository.verify(domain)  # takes the list of damage back
        self.objects = self.lived.objects
        self.backups: dict[RootId, Backup] = {}
        self.domains: dict[str, PlainDomain] = {}
        self._reached: dict[Record, set[RootId]] = {}
        reader = PlainRepository(self.objects, repeatable("key")(32))
        for domain in map(DomainId, reader.domains()):
            plain = self.domains[domain] = PlainDomain(reader, domain)
            for root in map(RootId, plain.roots()):
                size = plain.root(root).layout["size"]
                self.backups[root] = Backup.of(domain, size, plain.chunks(root))
                for record in plain.reached(root):
                    self._reached.setdefault(record, set()).add(root)

    def patient(
        self, changed: Mapping[str, bytes | None] | None = None, ledger: MemoryLedger | None = None
    ) -> Patient:
        """The repository with some objects changed, by their names; None: removed."""
        objects = {**self.objects, **(changed or {})}
        store = MemoryStore()
        store._objects = {name: data for name, data in objects.items() if data is not None}
        return Patient(store, copied(ledger or self._ledger), self.backups)

    def older(self, name: str) -> list[bytes]:
        """Earlier versions of what the object says, which other names had."""
        match name.split("/"):
            case ["d", domain, "s", *_prefix, session, last]:
                form = rf"d/{domain}/s/../{session}/{last[:8]}\..*"
            case ["d", domain, "g", _generation, session]:
                form = rf"d/{domain}/g/[^/]*/{session}"
            case _:  # a number is their last digit
                form = name[:-1] + "."
        ever = self.lived.life.store.ever
        return [data for other, data in ever.items() if re.fullmatch(form, other) and other < name]

    def names(self, kind: str) -> list[str]:
        """The objects of a kind."""
        return [name for name in self.objects if kind_of(name) == kind]

    def parts(self, name: str) -> list[Part]:
        """A segment, piece by piece."""
        plain = self.domains[name.split("/")[1]]
        session, seq, _generation = plain.segment_of(name)
        parts = [Part(0, 64, "header", NOBODY)]
        for row in plain.segment(name)[2]:
            what = {1: "chunk", 2: "ids", 3: "node"}[row.kind]
            reached_by = frozenset(self._reached.get((session, seq, row.index), ()))
            parts.append(Part(row.offset, row.offset + row.length, what, reached_by))
        everybody = frozenset(root for part in parts for root in part.reached_by)
        return [*parts, Part(parts[-1].end, len(self.objects[name]), "end", everybody)]

    # What must come of a harm.

    def if_flipped(self, name: str, at: int) -> Outcome:
        """One byte of the object is another."""
        if "/s/" not in name:
            return self._if_another(name)
        (part,) = (part for part in self.parts(name) if part.begin <= at < part.end)
        needs = part.reached_by
        match part.what:
            case "header":
                return Outcome()
            case "ids":
                return Outcome(told=any(part.reached_by for part in self.parts(name)))
            case "chunk":
                return Outcome(lost=needs, marked=needs)
            case "node":
                return Outcome(lost=needs, marked=needs, seen_at_once=needs)
            case _:
                return self._if_without_footer(name)

    def if_cut(self, name: str, length: int) -> Outcome:
        """Only so many bytes are left."""
        if "/s/" not in name:
            return self._if_another(name)
        parts = self.parts(name)
        everybody = parts[-1].reached_by
        cut = frozenset(r for part in parts[1:-1] if part.end > length for r in part.reached_by)
        without_footer = self._if_without_footer(name)
        if name.endswith(".0"):
            return Outcome(lost=cut, marked=everybody, seen_at_once=everybody if cut else NOBODY)
        kept = sum(part.end - part.begin for part in parts if part.reached_by) - (
            parts[-1].end - parts[-1].begin if everybody else 0
        )
        if length < 64 + kept:
            return replace(without_footer, seen_at_once=everybody)
        return without_footer

    def if_removed(self, name: str) -> Outcome:
        """It is not there."""
        if kind_of(name) == "key":
            return self._if_without_key(name)
        if "/s/" not in name:
            return self._if_another(name)
        everybody = self.parts(name)[-1].reached_by
        return Outcome(lost=everybody, marked=everybody, seen_at_once=everybody)

    def if_exchanged(self, name: str) -> Outcome:
        """Another object of its kind is in its place."""
        if "/s/" not in name:
            return self._if_another(name)
        everybody = self.parts(name)[-1].reached_by
        return Outcome(lost=everybody, marked=everybody, seen_at_once=self._nodes(name))

    def _if_without_key(self, name: str) -> Outcome:
        if self._is_wrapped_twice(name):
            return Outcome()
        _d, domain, _key, last = name.split("/")
        number = last.partition(".")[0]
        plain = self.domains[domain]
        if len(plain.data_keys) == 1:
            return self._if_another(name)
        own = {RootId(r) for r in plain.roots() if plain.root(r).layout["key"] == int(number)}
        return Outcome(lost=frozenset(own), found_by_its_key=True)

    def _is_wrapped_twice(self, name: str) -> bool:
        """Whether a domain's key has another wrapping, which is as good."""
        prefix = name.rpartition(".")[0] + "."
        return sum(other.startswith(prefix) for other in self.objects) > 1

    def _if_without_footer(self, name: str) -> Outcome:
        everybody = self.parts(name)[-1].reached_by
        if name.endswith(".0"):
            return Outcome(marked=everybody)
        return Outcome(lost=everybody, marked=everybody, seen_at_once=self._nodes(name))

    def _nodes(self, name: str) -> Roots:
        parts = self.parts(name)
        return frozenset(r for part in parts if part.what == "node" for r in part.reached_by)

    def _if_another(self, name: str) -> Outcome:
        """Any harm to an object that is good as a whole, or not."""
        match name.split("/"):
            case ["format"]:
                return Outcome(lost=frozenset(self.backups), refuses=True)
            case ["d", domain, "key", _last]:
                if self._is_wrapped_twice(name):
                    return Outcome()
                theirs = (root for root, b in self.backups.items() if b.domain == domain)
                return Outcome(lost=frozenset(theirs), refuses=True)
            case ["d", _domain, "r", root]:
                itself = frozenset([RootId(root)])
                return Outcome(lost=itself, marked=itself, seen_at_once=itself)
            case ["d", _domain, "g", *_rest]:
                return Outcome(told=True)
        return Outcome()
