"""What backups take, against sets of records that were counted one by one."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.place import CHUNK, SMALL, Place, pattern

from emberkeep.engine import layout
from emberkeep.engine.blockmap import Nodes, pointer
from emberkeep.engine.errors import KeyDestroyed
from emberkeep.engine.ids import SessionId
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.marks import Marks
from emberkeep.engine.repository import Repository, RootId, Written
from emberkeep.engine.statistics import Usage
from emberkeep.engine.stored import SegmentReader
from emberkeep.testing.engine import Image, a_key_manager

Records = dict[tuple[SegmentId, int], int]  # the bytes of each


@dataclass
class Volumes:
    """A place whose backups are of several volumes."""

    place: Place

    def back_up(self, volume: str, data: bytes, base: Written | None = None) -> Written:
        return self.place.repository.back_up(
            Image(data), domain=self.place.domain, description={"volume_id": volume},
            base=base and base.root, settings=SMALL,
        )  # fmt: skip

    def records(self, root: RootId) -> Records:
        """What a backup's map reaches."""
        repository, domain = self.place.repository, self.place.domain
        reader = SegmentReader(self.place.store, repository._metadata_key, domain, None)
        top, nodes = repository.describe(domain, root).top, Nodes(reader)
        found: Records = {}

        def add(place: Pointer | None, height: int) -> None:
            if place is not None:
                found[place.segment, place.index] = place.length
                if height:
                    for row in nodes.read(place, height).entries:
                        add(pointer(row), height - 1)

        add(top.place, top.height)
        return found


@pytest.fixture
def volumes() -> Volumes:
    return Volumes(Place())


def usage(logical: int, own: Records, *others: Records) -> Usage:
    elsewhere = {record for other in others for record in other}
    unique = sum(length for record, length in own.items() if record not in elsewhere)
    return Usage(logical, sum(own.values()), unique)


def test_each_record_is_counted_once_and_for_whom_it_is(volumes: Volumes) -> None:
    data = bytearray(pattern(600 * CHUNK))
    first = volumes.back_up("one", bytes(data))
    data[5 * CHUNK] ^= 1
    second = volumes.back_up("one", bytes(data), first)
    data[300 * CHUNK : 310 * CHUNK] = pattern(10 * CHUNK, "more")
    third = volumes.back_up("one", bytes(data), second)
    # Another volume that shares, as one does that was made from a backup.
    clone = volumes.back_up("two", bytes(data) + pattern(CHUNK, "end"), third)
    alone = volumes.back_up("three", pattern(20 * CHUNK, "alone"))
    found = volumes.place.repository.stats(volumes.place.domain)

    backups = [first, second, third, clone, alone]
    of = {written.root: volumes.records(written.root) for written in backups}
    for written in backups:
        others = [records for root, records in of.items() if root != written.root]
        expected = usage(written.size, of[written.root], *others)
        assert found.backups[written.root] == expected
        assert expected.stored == expected.unique + found.backups[written.root].shared
    assert found.backups[second.root].unique < 2 * CHUNK < found.backups[second.root].shared
    one = {**of[first.root], **of[second.root], **of[third.root]}
    two, three = of[clone.root], of[alone.root]
    assert found.volumes == {
        "one": usage(3 * 600 * CHUNK, one, two, three),
        "two": usage(601 * CHUNK, two, one, three),
        "three": usage(20 * CHUNK, three, one, two),
    }
    assert found.volume_of[third.root] == "one"
    everything = {**one, **two, **three}
    alone_in = sum(u.unique for u in found.backups.values())
    assert found.domain == Usage(2421 * CHUNK, sum(everything.values()), alone_in)
    in_store = sum(len(volumes.place.store.get(name)) for name in volumes.place.names("s"))
    assert found.in_store == in_store > found.domain.stored
    assert found.damaged == ()


def test_what_is_unique_is_what_a_collection_gives_back(volumes: Volumes) -> None:
    place = volumes.place
    data = bytearray(pattern(300 * CHUNK))
    first = volumes.back_up("v", bytes(data))
    data[: 200 * CHUNK] = pattern(200 * CHUNK, "other")
    volumes.back_up("v", bytes(data), first)
    before = place.repository.stats(place.domain)
    place.repository.delete(place.domain, first.root)
    place.repository.collect(place.domain, sparse=1.0)
    after = place.repository.stats(place.domain)
    unique = before.backups[first.root].unique
    assert before.domain.stored - after.domain.stored == unique > 200 * CHUNK
    assert 0 <= before.in_store - after.in_store - unique < CHUNK


def test_a_volume_of_zeros_takes_nothing_and_is_known_by_its_base(volumes: Volumes) -> None:
    full = volumes.back_up("v", pattern(CHUNK))
    zeros = volumes.back_up("v", bytes(50 * CHUNK), full)
    more = volumes.back_up("v", bytes(60 * CHUNK), zeros)
    nothing = volumes.back_up("w", bytes(CHUNK))
    found = volumes.place.repository.stats(volumes.place.domain)
    assert found.backups[zeros.root] == Usage(50 * CHUNK, 0, 0)
    assert found.volume_of[zeros.root] == found.volume_of[more.root] == "v"
    assert found.volume_of[nothing.root] == ""


def test_an_empty_domain_takes_nothing(volumes: Volumes) -> None:
    found = volumes.place.repository.stats(volumes.place.domain)
    assert (found.backups, found.volumes, found.domain) == ({}, {}, Usage(0, 0, 0))


def test_no_domain_key_and_no_ledger_are_needed(volumes: Volumes) -> None:
    place = volumes.place
    volumes.back_up("v", pattern(40 * CHUNK))
    before = place.repository.stats(place.domain)
    place.repository.destroy_keys(place.domain)
    assert place.repository.stats(place.domain) == before
    without = Repository.open(place.store, a_key_manager())
    assert without.stats(place.domain) == before
    with pytest.raises(KeyDestroyed):
        volumes.back_up("v", pattern(CHUNK))


def test_what_cannot_be_read_is_told_and_the_rest_counted(volumes: Volumes) -> None:
    place = volumes.place
    kept = volumes.back_up("kept", pattern(300 * CHUNK))
    lost = volumes.back_up("lost", pattern(10 * CHUNK, "lost"))
    gone = volumes.back_up("gone", pattern(10 * CHUNK, "gone"))
    segment = layout.segment_name(place.domain, SegmentId(SessionId(lost.root), 0))
    place.store.delete(segment)
    place.repository.delete_root(place.domain, gone.root)
    found = place.repository.stats(place.domain)
    assert found.backups[kept.root] == usage(kept.size, volumes.records(kept.root))
    assert found.backups.keys() == {kept.root, lost.root}
    assert [text for text in found.damaged if segment in text]
    assert [text for text in found.damaged if gone.root in text]


@given(st.lists(st.sets(st.integers(0, 100), min_size=1), min_size=2, max_size=4))
def test_sets_of_records_are_united(sets: list[set[int]]) -> None:
    segment, united = SegmentId(SessionId("0" * 32), 0), Marks()
    for numbers in sets:
        marks = Marks()
        indexes = np.array(sorted(numbers))
        marks.add(segment, indexes, np.ones(len(indexes), int), end=1)
        asked = np.array([*range(130), 5000])
        assert marks.holds(segment, asked).tolist() == [n in numbers for n in asked.tolist()]
        united.add_all(marks)
        assert set(marks.indexes(segment).tolist()) == numbers
    assert set(united.indexes(segment).tolist()) == set().union(*sets)
    assert united.seqs(segment.session) == [0]
