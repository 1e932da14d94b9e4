"""Collections: what they remove, compact, keep, and what stops them."""

from collections.abc import Iterator

import pytest
from tests.engine.place import CHUNK, Place, flipped, pattern

from emberkeep.engine import layout
from emberkeep.engine.errors import DamagedObject, LedgerBehind
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Phase, State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Settings, Written
from emberkeep.stores.base import StoredObject
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=2)
DATA = pattern(300 * CHUNK)


@pytest.fixture
def place() -> Place:
    return Place()


def with_chunks_changed(numbers: range) -> bytes:
    changed = bytearray(DATA)
    for number in numbers:
        changed[number * CHUNK : (number + 1) * CHUNK] = pattern(CHUNK, f"changed {number}")
    return bytes(changed)


def sparse_history(place: Place) -> tuple[Written, bytes]:
    """A backup that needs a tenth of each of its base's segments; the base is deleted."""
    kept = with_chunks_changed(range(300))[:]
    changed = bytearray(kept)
    for number in range(0, 300, 10):
        changed[number * CHUNK : (number + 1) * CHUNK] = DATA[number * CHUNK : (number + 1) * CHUNK]
    base = place.back_up(DATA, settings=SETTINGS)
    written = place.back_up(bytes(changed), base=base, settings=SETTINGS)
    place.repository.delete(place.domain, base.root)
    return written, bytes(changed)


def test_sparse_segments_are_compacted_and_read_as_before(place: Place) -> None:
    written, data = sparse_history(place)
    before = sum(len(place.store.get(name)) for name in place.names("s"))
    collected = place.repository.collect(place.domain)
    after = sum(len(place.store.get(name)) for name in place.names("s"))
    assert collected.compacted_segments >= 15
    assert before - after > 260 * CHUNK
    assert collected.kept_bytes == after
    assert len(place.names("g")) == 1
    assert place.restored(written) == data
    again = place.repository.collect(place.domain)
    assert (again.compacted_segments, again.removed_segments) == (0, 0)
    assert place.repository.verify(place.domain, depth=3).damaged == ()
    child = place.back_up(data, base=written, settings=SETTINGS)
    assert child.new_chunks == 0
    place.repository.delete(place.domain, written.root)
    place.repository.collect(place.domain)
    assert place.restored(child) == data
    without = Place.__new__(Place)
    without.__dict__ |= vars(place)
    without.repository = type(place.repository).open(
        place.store, a_key_manager()
    )  # reads without a ledger, by listings
    assert without.restored(child) == data
    place.repository.delete(place.domain, child.root)
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == place.names("g") == place.names("r") == []


def test_compacted_twice(place: Place) -> None:
    written, data = sparse_history(place)
    place.repository.collect(place.domain)
    once = len(place.names("s"))
    changed = bytearray(data)
    changed[: 250 * CHUNK] = pattern(250 * CHUNK, "again")
    child = place.back_up(bytes(changed), base=written, settings=SETTINGS)
    place.repository.delete(place.domain, written.root)
    collected = place.repository.collect(place.domain)
    assert collected.removed_segments > 0
    assert len(place.names("s")) < once + 13
    assert len(place.names("g")) <= 2
    assert place.restored(child) == bytes(changed)


def test_a_dry_run_tells_and_changes_nothing(place: Place) -> None:
    written, data = sparse_history(place)
    lost = place.back_up(pattern(50 * CHUNK, "lost"), settings=SETTINGS)
    place.repository.delete(place.domain, lost.root)
    objects = dict(place.store._objects)
    told = place.repository.collect(place.domain, dry_run=True)
    assert place.store._objects == objects
    done = place.repository.collect(place.domain)
    assert told.compacted_segments == done.compacted_segments
    assert any(
        f"/{lost.root}/" in reason and "no backup needs it" in reason for reason in told.reasons
    )
    assert any("to be compacted" in reason for reason in told.reasons)
    assert place.restored(written) == data


def test_a_session_under_way_is_left_alone(place: Place) -> None:
    base = place.back_up(DATA, settings=SETTINGS)
    session = place.repository.new_session()
    place.ledger.begin(session, domain=place.domain, base=base.root)
    place.repository.delete(place.domain, base.root)
    assert place.repository.collect(place.domain).removed_segments == 0
    assert place.names("r") == [f"d/{place.domain}/r/{base.root}"]
    place.ledger.abort(session)
    assert place.ledger.state(SessionId(base.root)) == State.REMOVING
    place.repository.collect(place.domain)
    assert place.ledger.state(SessionId(base.root)) == State.REMOVED
    assert place.names("s") == place.names("r") == []


def test_a_pinned_segset_waits_and_then_goes(place: Place) -> None:
    lost = place.back_up(DATA, settings=SETTINGS)
    place.repository.delete(place.domain, lost.root)
    session = place.repository.new_session()
    place.ledger.begin(session, domain=place.domain)
    assert place.ledger.pin(session, SessionId(lost.root)) is not None
    collected = place.repository.collect(place.domain)
    assert (collected.waiting, collected.removed_segments) == (1, 0)
    place.ledger.abort(session)
    assert place.repository.collect(place.domain).removed_segments > 0


def test_an_unreadable_node_stops_a_collection_until_it_is_confirmed(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    other = place.back_up(pattern(30 * CHUNK, "other"), settings=SETTINGS)
    place.repository.delete(place.domain, other.root)
    top = place.repository.describe(place.domain, written.root).top.place
    assert top is not None
    place.tamper(layout.segment_name(place.domain, top.segment), flipped(top.offset + 30))
    with pytest.raises(DamagedObject, match=f"nothing was collected.*{written.root}.*verify"):
        place.repository.collect(place.domain)
    assert any(other.root in name for name in place.names("s"))
    assert place.ledger.segset(SessionId(other.root)).phase == Phase.OPEN  # type: ignore[union-attr]
    verified = place.repository.verify(place.domain)
    assert verified.quarantined == (written.root,)
    collected = place.repository.collect(place.domain)
    assert collected.spared == 1
    assert not any(other.root in name for name in place.names("s"))
    assert any(written.root in name for name in place.names("s"))
    place.repository.delete(place.domain, written.root)
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == place.names("bad") == []


def test_an_unreadable_root_likewise(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    place.tamper(f"d/{place.domain}/r/{written.root}", flipped(40))
    with pytest.raises(DamagedObject, match="nothing was collected"):
        place.repository.collect(place.domain)
    assert place.repository.verify(place.domain).quarantined == (written.root,)
    assert place.repository.collect(place.domain).spared == 1
    assert place.names("s")


def test_a_segment_with_a_damaged_record_is_not_compacted(place: Place) -> None:
    written, data = sparse_history(place)
    segments = [name for name in place.names("s") if written.root not in name]
    name = segments[3]
    before = place.store.get(name)
    place.tamper(name, flipped(200))  # a record that is needed
    collected = place.repository.collect(place.domain)
    assert collected.compacted_segments >= 14
    assert [name for name in place.names("s") if name in segments] == [name]
    with pytest.raises(DamagedObject, match=name):
        place.restored(written)
    place.tamper(name, lambda _data: before)
    assert place.restored(written) == data
    place.repository.collect(place.domain)
    assert place.restored(written) == data


def test_with_unreadable_gens_a_session_is_left_alone_until_nobody_needs_it(place: Place) -> None:
    written, data = sparse_history(place)
    place.repository.collect(place.domain)
    (gens,) = place.names("g")
    place.tamper(gens, flipped(20))
    before = place.names("s")
    collected = place.repository.collect(place.domain)
    assert any(gens in reason and "left as they are" in reason for reason in collected.reasons)
    assert (place.names("s"), place.restored(written)) == (before, data)
    place.repository.delete(place.domain, written.root)
    place.repository.collect(place.domain)
    assert place.names("s") == place.names("g") == []


def test_a_late_root_of_a_session_that_was_given_up_is_removed(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    name = f"d/{place.domain}/r/{written.root}"
    root = place.store.get(name)
    place.repository.delete(place.domain, written.root)
    place.store.put(name, root)
    place.repository.collect(place.domain)
    assert place.names("r") == place.names("s") == []


def test_a_late_segment_goes_with_the_next_cycle(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    late = place.names("s")[0]
    data = place.store.get(late)
    place.repository.delete(place.domain, written.root)
    place.repository.collect(place.domain)
    place.store.put(late, data)
    place.repository.collect(place.domain)
    assert place.names("s") == []


def test_a_root_that_nobody_knows_stops_everything(place: Place) -> None:
    lost = place.back_up(DATA, settings=SETTINGS)
    place.repository.delete(place.domain, lost.root)
    unknown = RootId("ab" * 16)
    place.store.put(f"d/{place.domain}/r/{unknown}", b"x")
    with pytest.raises(LedgerBehind, match=f"{unknown}.*emberkeep repo rebuild"):
        place.repository.collect(place.domain)
    assert place.names("s")


def test_a_database_put_back_is_noticed_and_settles(place: Place) -> None:
    kept, data = sparse_history(place)
    old = place.ledger
    place.repository.collect(place.domain)
    later = place.back_up(pattern(40 * CHUNK, "later"), settings=SETTINGS)
    dead = place.repository.new_session()
    place.ledger.begin(dead, domain=place.domain)
    place.ledger = MemoryLedger()  # nothing is known any more
    place.repository = place.opened()
    for _ in range(2):
        with pytest.raises(LedgerBehind):
            place.repository.collect(place.domain)
    settled = place.repository.settle()[place.domain]
    assert sorted(settled.backups) == sorted([kept.root, later.root])
    assert settled.broken == {}
    assert place.restored(kept) == data
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.restored(kept) == data
    assert place.restored(later) == pattern(40 * CHUNK, "later")
    place.ledger = old
    place.repository = place.opened()
    with pytest.raises(LedgerBehind, match="incarnation"):
        place.repository.collect(place.domain)


def test_a_rebuilding_keeps_all_that_a_root_which_it_cannot_read_may_need(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    lost = place.back_up(DATA + pattern(CHUNK, "more"), base=first, settings=SETTINGS)
    place.repository.delete(place.domain, first.root)
    name = layout.root_name(place.domain, RootId(lost.root))
    whole, segments = place.store.get(name), place.names("s")
    place.tamper(name, lambda _data: b"no root")
    place.ledger = MemoryLedger()
    place.repository = place.opened()
    settled = place.repository.settle()[place.domain]
    assert (settled.backups, list(settled.broken)) == ((), [lost.root])
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == segments
    place.tamper(name, lambda _data: whole)
    assert place.restored(lost) == DATA + pattern(CHUNK, "more")
    assert place.repository.verify(place.domain).quarantined == ()
    place.tamper(name, lambda _data: b"no root")
    place.repository.delete(place.domain, lost.root)
    place.repository.collect(place.domain)
    assert place.names("s") == []


def test_a_stale_listing_hides_no_segment_from_a_rebuilding() -> None:
    class Stale(MemoryStore):
        hidden = ""

        def list(self, prefix: str) -> Iterator[StoredObject]:
            whole = prefix.endswith("/s/")
            return (i for i in super().list(prefix) if not (whole and i.name == self.hidden))

    store = Stale()
    place = Place(store)
    written, data = sparse_history(place)
    place.repository.collect(place.domain)
    store.hidden = next(name for name in place.names("s") if not name.endswith(".0"))
    place.ledger = MemoryLedger()
    place.repository = place.opened()
    assert place.repository.settle()[place.domain].backups == (written.root,)
    assert place.restored(written) == data


@pytest.mark.parametrize("lost", [(2,), (3,), (2, 3)])
def test_lost_tellings_of_a_rebuilding_are_put_again(place: Place, lost: tuple[int, ...]) -> None:
    place.back_up(DATA[:CHUNK])
    old = place.ledger
    place.ledger = MemoryLedger()
    place.repository = place.opened()
    for _ in range(2):
        place.repository.settle()
    for number in lost:
        place.store.delete(layout.incarnation_name(number))
    if lost != (2, 3):
        current, place.ledger = place.ledger, old
        with pytest.raises(LedgerBehind, match="incarnation"):
            place.opened().collect(place.domain)
        place.ledger = current
    place.repository.collect(place.domain)
    assert [item.name for item in place.store.list("inc")] == ["incarnation/2", "incarnation/3"]


def test_of_a_collection_that_died_at_its_gate_nothing_remains(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, data = sparse_history(place)

    class Killed(Exception):
        pass

    gate = place.ledger.gate

    def killed(session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        if gens is not None:
            raise Killed
        return gate(session, cycle, gens=gens, gone=gone)

    with monkeypatch.context() as patch:
        patch.setattr(place.ledger, "gate", killed)
        with pytest.raises(Killed):
            place.repository.collect(place.domain)
    assert any("-" in name.rpartition(".")[2] for name in place.names("s"))  # a stray
    assert place.restored(written) == data
    place.repository.collect(place.domain)
    assert place.restored(written) == data
    place.repository.delete(place.domain, written.root)
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == place.names("g") == []


def test_foreign_objects_are_left_alone(place: Place) -> None:
    for below in ("s", "c", "g", "bad"):
        place.store.put(f"d/{place.domain}/{below}/notes.txt", b"mine")
    lost = place.back_up(DATA, settings=SETTINGS)
    place.repository.delete(place.domain, lost.root)
    place.repository.collect(place.domain)
    assert [len(place.names(below)) for below in ("s", "c", "g", "bad")] == [1, 1, 1, 1]
