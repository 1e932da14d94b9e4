"""Verifications: what they find, whom they name, and how later backups heal."""

import pytest
from tests.engine.place import CHUNK, Place, flipped, pattern

from emberkeep.engine import layout
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.repository import Settings, Written
from emberkeep.engine.verifier import examine
from emberkeep.stores.base import StoredObject
from emberkeep.stores.errors import ObjectNotFound
from emberkeep.stores.memory import MemoryStore

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=2)
DATA = pattern(300 * CHUNK)


@pytest.fixture
def place() -> Place:
    return Place()


def segment(place: Place, written: Written, seq: int) -> str:
    return layout.segment_name(place.domain, SegmentId(SessionId(written.root), seq))


def changed_at(number: int) -> bytes:
    changed = bytearray(DATA)
    changed[number * CHUNK : (number + 1) * CHUNK] = pattern(CHUNK, f"changed {number}")
    return bytes(changed)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_whole_is_found_whole(place: Place, depth: int) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    place.back_up(changed_at(7), base=first, settings=SETTINGS)
    verified = place.repository.verify(place.domain, depth=depth)
    assert (verified.backups, verified.damaged, verified.quarantined) == (2, (), ())
    assert verified.segments == len(place.names("s"))
    assert (verified.read_bytes > len(DATA)) == (depth > 1)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_lost_segment_is_found_at_each_depth(place: Place, depth: int, damage: str) -> None:
    whole = place.back_up(pattern(40 * CHUNK, "whole"), settings=SETTINGS)
    written = place.back_up(DATA, settings=SETTINGS)
    name = segment(place, written, 2)
    if damage == "removed":
        place.store.delete(name)
    else:
        place.tamper(name, lambda data: data[: 10 * CHUNK])
    for _ in range(2):  # the second finds it known
        verified = place.repository.verify(place.domain, depth=depth)
        assert verified.quarantined == (written.root,)
        assert name in verified.damaged[0]
        assert len(place.names("bad")) == 1
    assert name in place.ledger.damage(written.root)[0]
    assert place.ledger.damage(whole.root) == ()


@pytest.mark.parametrize("depth", [2, 3])
def test_a_flipped_bit_names_the_backups_that_need_it_and_no_others(
    place: Place, depth: int
) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    second = place.back_up(changed_at(30), base=first, settings=SETTINGS)
    name = segment(place, first, 1)
    place.tamper(name, flipped(64 + 10 * (CHUNK + 17) + 100))  # chunk 30
    verified = place.repository.verify(place.domain, depth=depth)
    assert verified.quarantined == (first.root,)
    assert "1 records" in verified.damaged[0]
    assert place.restored(second) == changed_at(30)
    with pytest.raises(DamagedObject):
        place.restored(first)


def test_later_backups_heal_and_earlier_ones_keep_the_mark(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    name = segment(place, first, 1)
    before = place.store.get(name)
    place.tamper(name, flipped(64 + 10 * (CHUNK + 17) + 100))
    place.repository.verify(place.domain)
    second = place.back_up(DATA, base=first, settings=SETTINGS)
    assert second.new_chunks == 1
    assert place.restored(second) == DATA
    assert place.repository.verify(place.domain).quarantined == (first.root,)
    assert place.ledger.damage(second.root) == ()
    place.tamper(name, lambda _damaged: before)
    verified = place.repository.verify(place.domain)
    assert (verified.quarantined, verified.damaged) == ((), ())
    assert place.ledger.damage(first.root) == ()
    assert place.names("bad") == []


def test_a_backup_committed_while_damage_is_found_looks_for_itself(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    place.tamper(segment(place, first, 1), flipped(64 + 10 * (CHUNK + 17) + 100))
    session = place.repository.new_session()
    seen: list[bool] = []

    def verify_once() -> None:
        if not seen:
            seen.append(True)
            place.repository.verify(place.domain)

    second = place.back_up(
        DATA, base=first, session=session, settings=SETTINGS, checkpoint=verify_once
    )
    assert second.new_chunks == 0
    assert place.ledger.damage(second.root) != ()


def test_the_third_depth_finds_what_checksums_cannot(place: Place) -> None:
    """Two chunks were swapped, with checksums that fit: a holder of the metadata key can."""
    first = place.back_up(DATA, settings=SETTINGS)
    swap_two_records(place, first)
    assert place.repository.verify(place.domain, depth=2).damaged == ()
    verified = place.repository.verify(place.domain, depth=3)
    assert verified.quarantined == (first.root,)
    assert "2 records" in verified.damaged[0]


def swap_two_records(place: Place, written: Written) -> None:
    from emberkeep.engine import segments
    from emberkeep.engine.segments import Footer

    repository, spot = place.repository, SegmentId(SessionId(written.root), 1)
    reader = repository._reader(place.domain)
    tail = reader.tail(spot)
    rows = tail.footer.records.copy()
    data = bytearray(place.store.get(tail.name))
    one, two = rows[0], rows[1]
    assert one["length"] == two["length"]
    spans = [slice(int(r["offset"]), int(r["offset"]) + int(r["length"])) for r in (one, two)]
    data[spans[0]], data[spans[1]] = data[spans[1]], data[spans[0]]
    rows["crc"][0], rows["crc"][1] = int(rows["crc"][1]), int(rows["crc"][0])
    end = int(rows[-1]["offset"]) + int(rows[-1]["length"])
    sealed = segments.sealed_end(
        Footer(tail.footer.volume, tail.footer.key, rows),
        repository._metadata_key, place.domain, spot, "0", repository._random,
    )  # fmt: skip
    place.tamper(tail.name, lambda _old: bytes(data[:end]) + sealed)


def test_a_share_a_time_goes_round(place: Place) -> None:
    place.back_up(DATA, settings=SETTINGS)
    other = place.back_up(pattern(200 * CHUNK, "other"), settings=SETTINGS)
    place.tamper(segment(place, other, 9), flipped(200))
    rounds = 0
    total = 0
    while not place.ledger.damage(other.root):
        verified = place.repository.verify(place.domain, share=0.1)
        assert verified.segments <= 5
        total += verified.segments
        rounds += 1
    assert 1 < rounds <= 12
    for _ in range(20):
        if all(row.checked_at for row in place.ledger.segsets(place.domain)):
            break
        place.repository.verify(place.domain, share=0.1)
    assert all(row.checked_at and row.depth == 2 for row in place.ledger.segsets(place.domain))


def test_a_whole_share_leaves_nothing_for_the_next_time(place: Place) -> None:
    for number in range(12):  # whose ids records weigh as much as the chunks
        place.back_up(bytes([number + 1]) * 40 * CHUNK, settings=SETTINGS)
    verified = place.repository.verify(place.domain)
    assert (verified.segments, verified.left) == (len(place.names("s")), 0)
    assert all(row.checked_at for row in place.ledger.segsets(place.domain))


def test_an_unreadable_list_of_damage_counts_as_damage_of_all(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    place.tamper(segment(place, first, 1), flipped(64 + 10 * (CHUNK + 17) + 100))
    place.repository.verify(place.domain)
    place.tamper(place.names("bad")[0], flipped(3))
    second = place.back_up(DATA, base=first, settings=SETTINGS)
    assert 20 <= second.new_chunks <= 25
    assert place.restored(second) == DATA
    place.repository.verify(place.domain)
    assert len(place.names("bad")) == 1


def test_a_verification_beside_deletions_and_collections_accuses_nobody(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    second = place.back_up(changed_at(1), base=first, settings=SETTINGS)
    third = place.back_up(pattern(100 * CHUNK, "third"), settings=SETTINGS)
    steps = iter([
        lambda: None, lambda: None, lambda: place.repository.delete(place.domain, first.root),
        lambda: place.repository.collect(place.domain), lambda: None,
        lambda: place.repository.delete(place.domain, third.root),
        lambda: place.repository.collect(place.domain),
    ])  # fmt: skip

    verified = place.repository.verify(place.domain, checkpoint=lambda: next(steps, lambda: None)())
    assert verified.quarantined == ()
    assert place.names("bad") == []
    assert place.restored(second) == changed_at(1)


def test_an_object_that_was_just_put_is_not_taken_for_lost() -> None:
    class Slow(MemoryStore):
        settles_within = 1.0
        unseen = 0

        def stat(self, name: str) -> StoredObject:
            if "/s/" in name and self.unseen:
                self.unseen -= 1
                raise ObjectNotFound(name)
            return super().stat(name)

    store = Slow()
    place = Place(store)
    place.repository._sleep = lambda _seconds: None
    place.back_up(DATA[: 10 * CHUNK], settings=SETTINGS)
    for depth in (1, 2, 3):
        store.unseen = 3
        assert place.repository.verify(place.domain, depth=depth).damaged == ()


def test_a_whole_verification_leaves_nothing_for_the_next(place: Place) -> None:
    written = place.back_up(DATA + b"little" * CHUNK, settings=SETTINGS)
    last = max(name for name in place.names("s"))
    place.tamper(last, flipped(80))
    verified = place.repository.verify(place.domain, share=1)
    assert (verified.left, verified.quarantined) == (0, (written.root,))


def test_a_whole_verification_begins_at_the_begin_wherever_the_last_one_left_off(
    place: Place,
) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    assert place.repository.verify(place.domain, share=0.2).left > 0
    place.tamper(segment(place, written, 0), flipped(80))
    assert place.repository.verify(place.domain, share=1).quarantined == (written.root,)


def test_lists_of_damage_that_nobody_names_go(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    place.tamper(segment(place, written, 1), flipped(80))
    place.repository.verify(place.domain)
    (named,) = place.names("bad")
    stray = f"{named.rpartition('.')[0]}.00000000"
    place.store.put(stray, b"of a verification that was killed")
    place.repository.verify(place.domain)
    assert stray not in place.names("bad")
    assert len(place.names("bad")) == 1


def test_who_examines_a_backup_does_not_overrule_what_was_found_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = place.back_up(pattern(40 * CHUNK, "other"), settings=SETTINGS)
    place.tamper(segment(place, other, 0), flipped(80))
    place.repository.verify(place.domain)  # so that there is something to compare with
    written = place.back_up(DATA, settings=SETTINGS)
    quarantine = place.ledger.quarantine

    def late(root: RootId, lines: tuple[str, ...]) -> None:
        monkeypatch.undo()
        place.tamper(segment(place, written, 1), flipped(80))
        place.repository.verify(place.domain)
        assert place.ledger.damage(written.root)
        quarantine(root, lines)

    monkeypatch.setattr(place.ledger, "quarantine", late)
    examine(place.repository._reader(place.domain), place.ledger, [written.root], lambda: None)
    assert place.ledger.damage(written.root)
