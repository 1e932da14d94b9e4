"""What is read may be collected, compacted or removed at the same moment."""

from collections import Counter
from collections.abc import Callable

import pytest
from tests.engine.place import CHUNK, Place, flipped, pattern

from emberkeep.engine import layout
from emberkeep.engine.ids import SessionId
from emberkeep.engine.ledger import Begun, State
from emberkeep.engine.repository import Settings, Written
from emberkeep.stores.memory import MemoryStore

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=2)
DATA = pattern(60 * CHUNK)


class Interrupted(MemoryStore):
    """A store where something else happens just before an object is read for the n-th time."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[tuple[str, int], Callable[[], object]] = {}
        self.reads: Counter[str] = Counter()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self.reads[name] += 1
        self.before.pop((name, self.reads[name]), lambda: None)()
        return super().get(name, offset=offset, length=length)


@pytest.fixture
def store() -> Interrupted:
    return Interrupted()


@pytest.fixture
def place(store: Interrupted) -> Place:
    return Place(store)


def an_increment(place: Place) -> tuple[Written, Written, bytes]:
    """A base, and a backup that needs a tenth of it."""
    changed = bytearray(pattern(60 * CHUNK, "changed"))
    for start in range(0, 60 * CHUNK, 10 * CHUNK):
        changed[start : start + CHUNK] = DATA[start : start + CHUNK]
    base = place.back_up(DATA, settings=SETTINGS)
    return base, place.back_up(bytes(changed), base=base, settings=SETTINGS), bytes(changed)


def segments(place: Place, written: Written) -> list[str]:
    return [name for name in place.names("s") if f"/{written.root}/" in name]


def test_a_backup_reads_ids_of_a_base_while_it_is_compacted(
    store: Interrupted, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emberkeep.engine.segments.SUFFIX", 600)  # ids need a read of their own
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    first = segments(place, base)[0]
    store.reads.clear()
    store.before[first, 2] = lambda: place.repository.collect(place.domain)  # after its footer
    child = place.back_up(data, base=written, settings=SETTINGS)
    assert store.before == {}
    assert first not in place.names("s")
    assert child.new_chunks == 0
    assert place.restored(child) == data


def test_a_compaction_that_is_overtaken_ends_well(store: Interrupted, place: Place) -> None:
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    first, other = segments(place, base)[0], place.opened()
    store.reads.clear()
    store.before[first, 2] = lambda: other.collect(place.domain)  # after its footer
    place.repository.collect(place.domain)
    assert store.before == {}
    assert place.restored(written) == data


def test_a_root_whose_segments_go_while_it_is_removed_stops_nobody(
    store: Interrupted, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = place.back_up(DATA, settings=SETTINGS)
    kept = place.back_up(pattern(30 * CHUNK, "kept"), settings=SETTINGS)
    top, other = place.repository.describe(place.domain, doomed.root).top.place, place.opened()
    assert top is not None
    fence = place.ledger.fence

    def remove() -> None:
        monkeypatch.setattr(place.ledger, "removed", lambda _root: None)  # nobody said so yet
        other.collect(place.domain)

    def drop_first(*domain_and_cycle: object) -> object:
        monkeypatch.undo()
        assert place.ledger.drop(doomed.root)
        store.reads.clear()
        store.before[layout.segment_name(place.domain, top.segment), 1] = remove
        return fence(*domain_and_cycle)  # type: ignore[arg-type]

    monkeypatch.setattr(place.ledger, "fence", drop_first)
    place.repository.collect(place.domain)
    assert store.before == {}
    assert place.ledger.state(SessionId(doomed.root)) == State.REMOVING
    assert place.restored(kept) == pattern(30 * CHUNK, "kept")
    assert segments(place, doomed) == []


def test_segments_that_a_collection_gave_up_serve_no_successor_though_they_are_there(
    store: Interrupted, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", lambda _name: None)  # a zombie that will go on later
        place.repository.collect(place.domain)
    assert segments(place, base)[0].endswith("00000000.0")
    again = place.back_up(DATA, predecessor=SessionId(base.root), settings=SETTINGS)
    assert again.new_chunks == 60
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.restored(again) == DATA
    assert place.restored(written) == data


def test_a_session_whose_gens_are_damaged_goes_when_nobody_needs_it(place: Place) -> None:
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    place.repository.collect(place.domain)
    (gens,) = place.names("g")
    place.tamper(gens, flipped(20))
    reasons = place.repository.collect(place.domain).reasons
    assert any("left as they are" in reason for reason in reasons)
    assert place.restored(written) == data
    place.repository.delete(place.domain, written.root)
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == place.names("g") == []


def test_a_predecessor_that_never_began_is_as_none(place: Place) -> None:
    unknown, session = place.repository.new_session(), place.repository.new_session()
    begun = place.ledger.begin(session, domain=place.domain, predecessor=unknown)
    assert begun == Begun(None)
    assert place.ledger.state(session) == State.ACTIVE
