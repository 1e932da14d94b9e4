"""Volumes of a domain share what they have in common, and nothing depends on how it is found."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.engine import machine
from tests.engine.place import CHUNK, Place, flipped, pattern

from emberkeep.engine import dedup, hints, keys, layout
from emberkeep.engine.dedup import Dedup
from emberkeep.engine.errors import SessionLost
from emberkeep.engine.hints import Hints
from emberkeep.engine.ids import SessionId
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.repository import Settings, Written
from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import StoreError
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import repeatable

# One thread, so that it is known which chunks come first.
SETTINGS = Settings(
    chunk_size=CHUNK, segment_size=20 * CHUNK, workers=0, checkpoint_bytes=100 * CHUNK
)
COMMON = pattern(600 * CHUNK, "common")
SHIFTED = pattern(7 * CHUNK, "head") + COMMON + pattern(50 * CHUNK, "tail")
LOST = 60  # chunks that are stored again, at most, before a sample of the others is met


@pytest.fixture(autouse=True)
def _dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chunk in four is a sample, so that small volumes have some."""
    monkeypatch.setattr(hints, "_END", b"\x40")


@pytest.fixture
def place() -> Place:
    return Place()


def back_up(place: Place, data: bytes, **how: object) -> Written:
    return place.back_up(data, settings=SETTINGS, **how)  # type: ignore[arg-type]


def collect(place: Place, times: int = 1) -> None:
    for _ in range(times):
        place.repository.collect(place.domain)


def told(place: Place) -> list[Hints]:
    """What the hints in the store say."""
    key = place.repository._metadata_key
    return [
        Hints.decode(keys.unseal(key.object_key(name), place.store.get(name), name))
        for name in place.names("h")
    ]


def tell(place: Place, name: str, saying: Hints) -> None:
    """Put hints in place of others."""
    key = place.repository._metadata_key.object_key(name)
    place.store.delete(name)
    place.store.put(name, keys.seal(key, saying.encode(), bytes))


def delete_all(place: Place, *backups: Written) -> None:
    """After that, two collections leave nothing."""
    for written in backups:
        place.repository.delete(place.domain, written.root)
    collect(place, 2)
    assert [place.names(kind) for kind in ("s", "r", "h", "g", "c", "bad")] == [[]] * 6


def after(calls: int, then: Callable[[], None]) -> Callable[[], None]:
    """A checkpoint that does something once, when it was called so often."""
    left = iter(range(calls))

    def checkpoint() -> None:
        if next(left, None) == calls - 1:
            then()

    return checkpoint


def test_what_two_volumes_have_in_common_is_stored_once(place: Place) -> None:
    first = back_up(place, COMMON)
    second = back_up(place, SHIFTED)
    assert 57 <= second.new_chunks < 57 + LOST
    assert second.uses == tuple(sorted((first.root, second.root)))
    assert second.pins == (first.root,)
    assert place.restored(second) == SHIFTED
    assert place.repository.verify(place.domain, depth=1).damaged == ()
    assert place.repository.verify(place.domain, depth=3).damaged == ()
    place.repository.delete(place.domain, first.root)
    collect(place, 2)
    assert place.restored(second) == SHIFTED
    delete_all(place, second)


def test_a_clone_stores_next_to_nothing(place: Place) -> None:
    data = pattern(2000 * CHUNK)
    back_up(place, data)
    collect(place)
    clone = place.back_up(data, settings=Settings(chunk_size=CHUNK, workers=2))
    assert clone.stored_bytes < 0.05 * len(data)
    assert place.restored(clone) == data


def test_one_sample_leads_along_all_that_was_stored_side_by_side(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify = place.repository._keys(place.domain).identify
    sample = identify(COMMON[50 * CHUNK : 51 * CHUNK])
    monkeypatch.setattr(hints, "is_sample", sample.__eq__)
    back_up(place, COMMON)
    assert [len(saying) for saying in told(place)] == [1]
    # Segments of nodes lie between those of chunks, and the sample itself is in the third.
    assert back_up(place, COMMON).new_chunks == 50


def test_a_small_backup_puts_no_hints(place: Place) -> None:
    back_up(place, COMMON[: 15 * CHUNK])
    assert place.names("h") == []


def test_a_long_backup_puts_its_hints_in_pieces(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "PER_OBJECT", 10)
    written = back_up(place, COMMON)
    assert len(place.names("h")) > 4
    *others, most = sorted(len(saying) for saying in told(place))
    assert most == 10
    assert set(others[1:]) == {10}
    clone = back_up(place, COMMON)
    assert clone.new_chunks < LOST
    delete_all(place, written, clone)


def test_a_collection_makes_one_object_of_all_hints_and_then_lets_it_be(place: Place) -> None:
    first = back_up(place, COMMON)
    second = back_up(place, pattern(100 * CHUNK, "other"))
    samples = sum(len(saying) for saying in told(place))
    assert len(place.names("h")) == 2
    collect(place)
    (merged,) = place.names("h")
    assert [len(saying) for saying in told(place)] == [samples]
    collect(place)
    assert place.names("h") == [merged]
    place.repository.delete(place.domain, first.root)
    collect(place)
    assert [saying.sessions for saying in told(place)] == [(second.root,)]
    third = back_up(place, pattern(100 * CHUNK, "other"))
    assert third.new_chunks < LOST
    delete_all(place, second, third)


def test_two_collections_at_once_lose_no_hint(place: Place) -> None:
    back_up(place, COMMON)
    name = place.names("h")[0]
    own = place.store.get(name)
    collect(place)
    place.store.put(name, own)  # as if the other had merged it, and is not done
    collect(place)
    place.store.put(f"d/{place.domain}/h/1-00000000", b"cut off")
    assert back_up(place, COMMON).new_chunks < LOST
    collect(place)
    assert len(place.names("h")) == 1
    assert back_up(place, COMMON).new_chunks < LOST


def _swapped(place: Place) -> None:
    (saying,) = told(place)
    (name,) = place.names("h")
    tell(place, name, Hints(saying.sessions, saying.ids, saying.numbers, saying.seqs[::-1]))


def _of_unknown_sessions(place: Place) -> None:
    (saying,) = told(place)
    (name,) = place.names("h")
    tell(place, name, Hints((SessionId("ab" * 16),), saying.ids, saying.numbers, saying.seqs))


def _beyond_the_last_segment(place: Place) -> None:
    (saying,) = told(place)
    (name,) = place.names("h")
    far = (saying.seqs + 1000).astype(np.uint32)
    tell(place, name, Hints(saying.sessions, saying.ids, saying.numbers, far))


def _removed(place: Place) -> None:
    place.store.delete(place.names("h")[0])


def _damaged(place: Place) -> None:
    place.tamper(place.names("h")[0], flipped(40))


def _cut(place: Place) -> None:
    place.tamper(place.names("h")[0], lambda data: data[:-1])


def _emptied(place: Place) -> None:
    place.tamper(place.names("h")[0], lambda _data: b"")


@pytest.mark.parametrize(
    "spoil",
    [_removed, _damaged, _cut, _emptied, _swapped, _of_unknown_sessions, _beyond_the_last_segment],
)
@pytest.mark.parametrize("merged", [False, True])
def test_wrong_or_missing_hints_cost_space_alone(
    place: Place, spoil: Callable[[Place], None], merged: bool
) -> None:
    first = back_up(place, COMMON)
    if merged:
        collect(place)
    spoil(place)
    second = back_up(place, SHIFTED)
    if spoil is not _swapped:  # these lead to the right sessions
        assert second.new_chunks == 657
    assert place.restored(second) == SHIFTED
    place.repository.delete(place.domain, first.root)
    collect(place)
    assert place.restored(second) == SHIFTED
    third = back_up(place, SHIFTED)
    assert third.new_chunks < 657
    delete_all(place, second, third)


def test_damaged_hints_vanish_with_the_last_backup(place: Place) -> None:
    written = back_up(place, COMMON)
    collect(place)
    _damaged(place)
    delete_all(place, written)


def test_hints_that_are_none_are_ignored_and_vanish(place: Place) -> None:
    name = layout.merged_hints_name(place.domain, "9-00000000")
    key = place.repository._metadata_key.object_key(name)
    place.store.put(name, keys.seal(key, b"of a later release", repeatable("hints")))
    back_up(place, COMMON)
    assert back_up(place, COMMON).new_chunks < LOST
    collect(place)
    assert name not in place.names("h")


def test_foreign_objects_among_the_hints_are_left_alone(place: Place) -> None:
    name = f"d/{place.domain}/h/notes.txt"
    place.store.put(name, b"mine")
    written = back_up(place, COMMON)
    assert back_up(place, COMMON).new_chunks < LOST
    place.repository.delete(place.domain, written.root)
    collect(place, 2)
    assert place.store.get(name) == b"mine"


class Failing(MemoryStore):
    """Neither lists nor takes nor gives hints."""

    def put(self, name: str, data: Buffer) -> None:
        self._fail(name)
        super().put(name, data)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self._fail(name)
        return super().get(name, offset=offset, length=length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._fail(prefix)
        return super().list(prefix)

    def _fail(self, name: str) -> None:
        if "/h/" in name:
            raise StoreError("out of order")


def test_a_store_that_fails_with_hints_stops_no_backup(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(Failing())
    with caplog.at_level(logging.WARNING):
        written = back_up(place, COMMON)
    assert place.restored(written) == COMMON
    assert "can't be read" in caplog.text
    assert "was not put" in caplog.text


def test_what_a_collection_looks_at_is_stored_anew(place: Place) -> None:
    first = back_up(place, COMMON)
    cycle = place.ledger.begin_cycle(seen=0)
    assert place.ledger.drain(SessionId(first.root), cycle)
    second = back_up(place, COMMON)
    assert (second.new_chunks, second.pins, second.uses) == (600, (), (second.root,))
    assert place.restored(second) == COMMON


def test_a_pin_that_was_refused_is_asked_for_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "REFUSED_FOR", 0)
    first = SessionId(back_up(place, COMMON).root)
    cycle = place.ledger.begin_cycle(seen=0)
    place.ledger.drain(first, cycle)
    reopened = after(10, lambda: place.ledger.gate(first, cycle, gens=None, gone=False) and None)
    second = back_up(place, COMMON, checkpoint=reopened)
    assert 100 < second.new_chunks < 500
    assert second.pins == (first,)


def test_refused_pins_are_not_asked_for_without_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SessionId(back_up(place, COMMON).root)
    place.ledger.drain(first, place.ledger.begin_cycle(seen=0))
    asked: list[SessionId] = []

    def refuse(_session: SessionId, segset: SessionId) -> None:
        asked.append(segset)

    monkeypatch.setattr(place.ledger, "pin", refuse)
    back_up(place, COMMON)
    assert asked == [first]


def test_what_is_gone_is_stored_anew_and_its_late_hints_vanish(place: Place) -> None:
    first = back_up(place, COMMON)
    late = {name: place.store.get(name) for name in place.names("h")}
    place.repository.delete(place.domain, first.root)
    collect(place)
    for name, data in late.items():
        place.store.put(name, data)
    second = back_up(place, COMMON)
    assert (second.new_chunks, second.pins) == (600, ())
    assert place.restored(second) == COMMON
    collect(place)
    assert [saying.sessions for saying in told(place)] == [(second.root,)]
    delete_all(place, second)


def test_a_record_that_is_known_as_damaged_is_stored_anew(place: Place) -> None:
    first = back_up(place, COMMON)
    name = layout.segment_name(place.domain, SegmentId(SessionId(first.root), 6))
    place.tamper(name, flipped(64 + 100))
    assert place.repository.verify(place.domain).quarantined == (first.root,)
    before = back_up(place, COMMON, base=first).new_chunks
    assert before == 1
    second = back_up(place, SHIFTED)
    assert place.ledger.damage(second.root) == ()
    assert place.restored(second) == SHIFTED
    assert second.new_chunks < 57 + LOST


def test_damage_that_is_found_meanwhile_is_told_of_the_backup(place: Place) -> None:
    first = back_up(place, COMMON)
    name = layout.segment_name(place.domain, SegmentId(SessionId(first.root), 6))

    def damage() -> None:
        place.tamper(name, flipped(64 + 100))
        assert place.repository.verify(place.domain).quarantined == (first.root,)

    second = back_up(place, COMMON, checkpoint=after(15, damage))
    assert second.new_chunks < LOST
    assert name in place.ledger.damage(second.root)[0]


def test_what_was_compacted_does_not_serve_and_is_not_told_of(place: Place) -> None:
    half = bytearray(pattern(600 * CHUNK, "half"))
    for number in range(0, 300, 10):
        half[number * CHUNK : (number + 1) * CHUNK] = COMMON[number * CHUNK : (number + 1) * CHUNK]
    half[300 * CHUNK :] = COMMON[300 * CHUNK :]
    first = back_up(place, COMMON)
    second = back_up(place, bytes(half), base=first)
    place.repository.delete(place.domain, first.root)
    assert place.repository.collect(place.domain).compacted_segments > 10
    third = back_up(place, COMMON)
    assert 290 <= third.new_chunks < 300 + LOST  # the segment in the middle is as it was
    assert place.restored(second) == half
    assert place.restored(third) == COMMON
    assert place.repository.verify(place.domain, depth=1).damaged == ()
    (saying,) = [saying for saying in told(place) if first.root in saying.sessions]
    seqs = saying.seqs[saying.numbers == saying.sessions.index(SessionId(first.root))]
    listed = [layout.parse_segment_name(name) for name in place.names("s")]
    whole = {seg.seq for seg, gen in listed if gen == "0" and seg.session == first.root}
    assert set(seqs.tolist()) <= whole
    delete_all(place, second, third)


def test_nothing_crosses_from_one_domain_into_another(place: Place) -> None:
    back_up(place, COMMON)
    place.domain = place.repository.create_domain()
    second = back_up(place, COMMON)
    assert (second.new_chunks, second.uses) == (600, (second.root,))
    assert all(saying.sessions == (second.root,) for saying in told(place))


def test_chunks_of_another_size_are_not_alike(place: Place) -> None:
    back_up(place, COMMON)
    second = place.back_up(COMMON, settings=Settings(chunk_size=2 * CHUNK, workers=0))
    assert second.new_chunks == 300


def test_what_was_pinned_stays_while_the_backup_is_written(place: Place) -> None:
    first = back_up(place, COMMON)

    def gone() -> None:
        place.repository.delete(place.domain, first.root)
        collect(place, 2)

    second = back_up(place, COMMON, checkpoint=after(15, gone))
    assert second.new_chunks < LOST
    assert place.restored(second) == COMMON
    collect(place, 2)
    assert place.restored(second) == COMMON
    delete_all(place, second)


def test_a_backup_that_lost_a_pin_is_none(place: Place) -> None:
    first = SessionId(back_up(place, COMMON).root)
    session = place.repository.new_session()

    def lost() -> None:
        place.ledger._segsets[first].pinned_by.remove(session)

    with pytest.raises(SessionLost):
        back_up(place, COMMON, session=session, checkpoint=after(15, lost))


class Killed(Exception):
    pass


def killed(place: Place, data: bytes, *, checkpoints: int = 2) -> SessionId:
    """A session that died when it had put so many checkpoints."""
    session = place.repository.new_session()

    def checkpoint() -> None:
        if len([name for name in place.names("c") if session in name]) == checkpoints:
            raise Killed

    with pytest.raises(Killed):
        back_up(place, data, session=session, change_id="snapshot", checkpoint=checkpoint)
    return session


# Of each leaf half is known and half is new.
MIXED = b"".join(
    part
    for leaf in range(4)
    for part in (
        COMMON[leaf * 128 * CHUNK : (leaf + 1) * 128 * CHUNK],
        pattern(128 * CHUNK, f"new {leaf}"),
    )
)


def test_pins_outlive_their_session_and_count_at_its_successors_commit(place: Place) -> None:
    first = back_up(place, COMMON)
    dead = killed(place, MIXED)
    place.ledger.expire(silent_for=0)
    place.repository.delete(place.domain, first.root)
    collect(place, 2)
    for name in place.names("h"):
        place.store.delete(name)  # so that the successor pins nothing by itself
    written = back_up(place, MIXED, change_id="snapshot", predecessor=dead)
    assert written.read_bytes < len(MIXED)
    assert set(written.pins) == {dead, first.root}
    assert place.restored(written) == MIXED
    collect(place, 2)
    assert place.restored(written) == MIXED
    delete_all(place, written)


def test_a_successor_that_lost_a_pin_of_the_dead_one_is_no_backup(place: Place) -> None:
    first = SessionId(back_up(place, COMMON).root)
    dead = killed(place, MIXED)
    for name in place.names("h"):
        place.store.delete(name)
    session = place.repository.new_session()

    def lost() -> None:
        place.ledger._segsets[first].pinned_by.remove(session)

    with pytest.raises(SessionLost):
        back_up(
            place,
            MIXED,
            session=session,
            change_id="snapshot",
            predecessor=dead,
            checkpoint=after(5, lost),
        )


def test_what_a_dead_session_stored_is_told_of_by_its_successor(place: Place) -> None:
    dead = killed(place, COMMON)
    assert place.names("h") == []
    written = back_up(place, COMMON, change_id="snapshot", predecessor=dead)
    (saying,) = told(place)
    assert saying.sessions == tuple(sorted((dead, SessionId(written.root))))
    clone = back_up(place, COMMON)
    assert clone.new_chunks < LOST
    assert set(clone.pins) == {dead, written.root}


def test_also_if_the_successor_had_little_to_add(place: Place) -> None:
    data = COMMON[: 256 * CHUNK] + bytes(256 * CHUNK) + COMMON[: 5 * CHUNK]
    dead = killed(place, data, checkpoints=1)
    written = back_up(place, data, change_id="snapshot", predecessor=dead)
    (saying,) = told(place)
    assert dead in saying.sessions
    assert written.read_bytes < 300 * CHUNK


def test_hints_are_bounded_and_a_larger_domain_is_known_at_fewer_points(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = back_up(place, COMMON)
    (whole,) = told(place)
    assert len(whole) > 80
    monkeypatch.setattr(hints, "MOST", 10)
    collect(place)
    (saying,) = told(place)
    assert saying.ids.tolist() == whole.ids[:10].tolist()
    assert saying.seqs.tolist() == whole.seqs[:10].tolist()
    clone = back_up(place, COMMON)
    assert clone.new_chunks < 500
    monkeypatch.setattr(hints, "LOOSE", 0)
    place.store.delete(next(name for name in place.names("h") if "-" in name))
    assert back_up(place, COMMON).new_chunks == 600
    monkeypatch.setattr(hints, "LOOSE", 100)
    monkeypatch.setattr(hints, "LOOSE_BYTES", 100)
    assert back_up(place, COMMON, base=first).new_chunks == 0
    assert back_up(place, pattern(600 * CHUNK, "common")).new_chunks == 600


def test_the_ids_in_memory_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    open_one = Dedup._open

    def noting(self: Dedup, segment: SegmentId) -> bool:
        found = open_one(self, segment)
        sizes.append((self._size, len(self._places)))
        return found

    back_up(place, COMMON)
    monkeypatch.setattr(Dedup, "_open", noting)
    monkeypatch.setattr(dedup, "KEPT", 4 * (1024 + 20 * 176))
    written = back_up(place, COMMON)
    assert max(size for size, _places in sizes) == dedup.KEPT
    assert max(places for _size, places in sizes) == 80
    assert written.new_chunks < LOST
    assert place.restored(written) == COMMON


def test_a_segment_that_was_forgotten_takes_no_other_ones_chunks_along(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = COMMON[: 100 * CHUNK] * 3 + COMMON  # nothing looks for what a session stored itself
    back_up(place, twice)
    monkeypatch.setattr(dedup, "KEPT", 4 * (1024 + 20 * 176))
    written = back_up(place, twice)
    assert written.new_chunks < LOST
    assert place.restored(written) == twice


def test_hints_are_what_the_format_says(monkeypatch: pytest.MonkeyPatch) -> None:
    session, other = SessionId("01" * 16), SessionId("02" * 16)
    parts = [
        Hints(
            (session,),
            np.array([5, 9], "<u8"),
            np.array([0, 0], "<u4"),
            np.array([1, 2], "<u4"),
        ),
        Hints((other, session), np.array([5], "<u8"), np.array([0], "<u4"), np.array([7], "<u4")),
        Hints((other,), np.array([7], "<u8"), np.array([0], "<u4"), np.array([3], "<u4")),
    ]
    plain = hints.merged(parts).encode()
    assert plain.hex() == (
        "03000000" "02000000" + "01" * 16 + "02" * 16 + "0500000000000000"
        "0700000000000000" "0900000000000000" "000000000100000000000000"
        "010000000300000002000000"
    )  # fmt: skip
    saying = Hints.decode(plain)
    assert saying.find(bytes(7) + b"\x07" + bytes(8)) == SegmentId(other, 3)
    assert saying.find(bytes(7) + b"\x09" + bytes(8)) == SegmentId(session, 2)
    assert saying.find(bytes(7) + b"\x08" + bytes(8)) is None
    assert saying.find(b"\xff" * 16) is None
    monkeypatch.setattr(hints, "MOST", 1)
    assert hints.merged(parts).encode().hex() == (
        "01000000" "01000000" + "01" * 16 + "0500000000000000" "00000000" "01000000"
    )  # fmt: skip


def test_sixty_lives_in_which_every_chunk_is_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_END", b"\xff" * 17)
    # Segments of a few records, so that there are some which are full.
    tiny = Settings(chunk_size=CHUNK, segment_size=100, workers=2)
    monkeypatch.setattr(machine, "SETTINGS", tiny)
    found: list[Pointer] = []
    find = Dedup.find

    def noting(self: Dedup, chunk_id: bytes) -> Pointer | None:
        place = find(self, chunk_id)
        if place is not None:
            found.append(place)
        return place

    monkeypatch.setattr(Dedup, "find", noting)
    run_state_machine_as_test(
        machine.RepositoryMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert found
