"""A session that did not end is gone on with by another."""

import pytest
from tests.engine.place import CHUNK, Place, pattern

from emberkeep.engine.earlier import Earlier
from emberkeep.engine.errors import SessionLost
from emberkeep.engine.ids import SessionId
from emberkeep.engine.pinned import Pinned
from emberkeep.engine.repository import Settings, Written
from emberkeep.testing.engine import Disk, Image

SETTINGS = Settings(
    chunk_size=CHUNK, segment_size=20 * CHUNK, workers=2, checkpoint_bytes=100 * CHUNK
)
DATA = pattern(2000 * CHUNK)  # eight leaves


class Killed(Exception):
    pass


@pytest.fixture
def place() -> Place:
    return Place()


def killed_after(place: Place, checkpoints: int, **how: object) -> SessionId:
    """A session that died when it had put so many checkpoints and some segments more."""
    session = place.repository.new_session()
    state = {"seen": 0}

    def checkpoint() -> None:
        if len([name for name in place.names("c") if session in name]) >= checkpoints:
            state["seen"] += 1
            if state["seen"] > 9:
                raise Killed

    with pytest.raises(Killed):
        place.back_up(DATA, session=session, settings=SETTINGS, checkpoint=checkpoint, **how)
    return session


def stored(place: Place) -> int:
    return sum(len(place.store.get(name)) for name in place.names("s"))


def uploaded(place: Place, session: SessionId) -> int:
    """Bytes of the segments that a session put."""
    return sum(len(place.store.get(name)) for name in place.names("s") if session in name)


def check(place: Place, written: Written) -> None:
    """All of it is there, and nothing else once it was collected."""
    assert place.restored(written) == DATA
    place.repository.collect(place.domain)
    assert place.restored(written) == DATA
    assert place.names("c") == []
    place.repository.delete(place.domain, written.root)
    place.repository.collect(place.domain)
    place.repository.collect(place.domain)
    assert place.names("s") == place.names("r") == place.names("g") == []


@pytest.mark.parametrize("checkpoints", [1, 3, 6])
def test_a_successor_goes_on_at_the_last_checkpoint(place: Place, checkpoints: int) -> None:
    dead = killed_after(place, checkpoints, change_id="snapshot")
    before = uploaded(place, dead)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert written.read_bytes < len(DATA) - checkpoints * 200 * CHUNK
    assert before + uploaded(place, SessionId(written.root)) < 1.02 * len(DATA)
    assert (written.chunks, written.size) == (2000, len(DATA))
    assert dead in written.uses
    check(place, written)


def test_without_the_same_point_in_time_what_was_stored_is_found_by_content(place: Place) -> None:
    dead = killed_after(place, 3, change_id="snapshot")
    before = uploaded(place, dead)
    assert before > 500 * CHUNK
    written = place.back_up(DATA, change_id="another", predecessor=dead, settings=SETTINGS)
    assert written.read_bytes == len(DATA)
    assert before + uploaded(place, SessionId(written.root)) < 1.02 * len(DATA)
    check(place, written)


def test_a_successor_with_another_chunk_size_begins_anew(place: Place) -> None:
    dead = killed_after(place, 3, change_id="snapshot")
    other = Settings(chunk_size=2 * CHUNK, segment_size=20 * CHUNK, workers=2)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=other)
    assert (written.read_bytes, written.new_chunks) == (len(DATA), 1000)
    check(place, written)


def test_without_a_name_for_the_point_in_time_there_are_no_checkpoints(place: Place) -> None:
    seen: list[int] = []
    place.back_up(DATA, settings=SETTINGS, checkpoint=lambda: seen.append(len(place.names("c"))))
    assert set(seen) == {0}


@pytest.mark.parametrize("first_leaf", range(9))
def test_a_successor_looks_only_at_segments_that_it_has_not_passed(
    place: Place, first_leaf: int
) -> None:
    dead = place.repository.new_session()

    def checkpoint() -> None:
        if len(place.names("s")) > 70:
            raise Killed

    with pytest.raises(Killed):
        place.back_up(DATA, session=dead, settings=SETTINGS, checkpoint=checkpoint)
    row = place.ledger.segset(dead)
    assert row is not None
    reader = place.repository._reader(place.domain)
    pinned = Pinned(reader, place.repository._keys(place.domain), row)
    all_of_it = Earlier(reader, pinned, first_leaf=0)
    rest = Earlier(reader, pinned, first_leaf=first_leaf)
    wanted = [all_of_it.chunks(leaf) for leaf in range(9)]
    assert sum(map(len, wanted)) > 1000
    assert [rest.chunks(leaf) for leaf in range(first_leaf, 9)] == wanted[first_leaf:]


def test_several_in_a_row(place: Place) -> None:
    first = killed_after(place, 2, change_id="snapshot")
    second = killed_after(place, 0, change_id="snapshot", predecessor=first)
    third = killed_after(place, 1, change_id="other", predecessor=second)
    written = place.back_up(DATA, change_id="snapshot", predecessor=third, settings=SETTINGS)
    assert sum(uploaded(place, s) for s in (first, second, third, SessionId(written.root))) < (
        1.02 * len(DATA)
    )
    assert written.read_bytes < len(DATA)
    check(place, written)


def test_collections_between_the_attempts_take_nothing_away(place: Place) -> None:
    dead = killed_after(place, 3, change_id="snapshot")
    place.ledger.expire(silent_for=0)
    for _ in range(2):
        place.repository.collect(place.domain)
    before = uploaded(place, dead)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert before + uploaded(place, SessionId(written.root)) < 1.02 * len(DATA)
    check(place, written)


def test_the_checkpoint_of_a_session_that_was_given_up_is_void(place: Place) -> None:
    base = place.back_up(DATA[: 1000 * CHUNK], settings=SETTINGS)
    dead = killed_after(place, 3, change_id="snapshot", base=base)
    place.ledger.abort(dead)
    place.repository.delete(place.domain, base.root)
    place.repository.collect(place.domain)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert written.read_bytes == len(DATA)
    check(place, written)


def test_of_a_session_that_was_given_up_the_segments_serve_while_they_are_there(
    place: Place,
) -> None:
    dead = killed_after(place, 3, change_id="snapshot")
    place.ledger.abort(dead)
    before = uploaded(place, dead)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert before + uploaded(place, SessionId(written.root)) < 1.02 * len(DATA)
    check(place, written)


def test_who_was_taken_over_can_neither_pin_nor_commit(place: Place) -> None:
    slow = place.repository.new_session()
    begun = place.ledger.begin(slow, domain=place.domain)
    written = place.repository.write(
        Image(DATA),
        domain=place.domain,
        session=slow,
        begun=begun,
        description={},
        settings=SETTINGS,
    )
    fast = place.back_up(DATA, predecessor=slow, settings=SETTINGS)
    assert fast.new_chunks == 0
    with pytest.raises(SessionLost):
        place.repository._commit(place.domain, written)
    assert place.ledger.pin(slow, SessionId(fast.root)) is None
    place.repository.collect(place.domain)
    assert place.names("r") == [f"d/{place.domain}/r/{fast.root}"]
    check(place, fast)


def test_a_resumed_increment_shares_with_its_base(place: Place) -> None:
    changed = bytearray(DATA)
    for leaf in range(8):
        changed[leaf * 256 * CHUNK : leaf * 256 * CHUNK + 60 * CHUNK] = pattern(
            60 * CHUNK, f"{leaf}"
        )
    base = place.back_up(bytes(changed), settings=SETTINGS)
    dead = killed_after(place, 2, change_id="snapshot", base=base)
    place.repository.delete(place.domain, base.root)  # held by the dead one
    place.repository.collect(place.domain)
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert written.base == base.root
    assert written.new_chunks <= 480
    check(place, written)


def test_a_restore_keeps_what_it_reads(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)

    deleted: list[bool] = []

    class Slow(Disk):
        def write(self, offset: int, data: object) -> None:
            if not deleted:
                deleted.append(place.repository.delete(place.domain, written.root))
            if offset % (200 * CHUNK) == 0:
                place.repository.collect(place.domain)
            super().write(offset, data)  # type: ignore[arg-type]

    disk = Slow(len(DATA))
    place.repository.restore(
        place.domain, written.root, disk, settings=Settings(chunk_size=CHUNK, workers=0)
    )
    assert bytes(disk.data) == DATA
    assert deleted == [False]
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("s") == place.names("r") == []
