"""Stores that take everything and give nothing away: what works there, and what waits."""

import pytest
from tests.engine.place import CHUNK, Place, flipped, pattern
from tests.engine.test_collector import sparse_history

from emberkeep.engine.ids import SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.repository import Settings
from emberkeep.stores.errors import StoreError
from emberkeep.stores.memory import MemoryStore

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=0, checkpoint_bytes=0)
DATA = pattern(600 * CHUNK)


class Refused(StoreError):
    pass


class AppendOnly(MemoryStore):
    """Whose credentials may put, get and list."""

    may_remove = False

    def delete(self, name: str) -> None:
        if not self.may_remove:
            raise Refused(f"{name} may not be removed")
        super().delete(name)


@pytest.fixture
def store() -> AppendOnly:
    return AppendOnly()


@pytest.fixture
def place(store: AppendOnly) -> Place:
    return Place(store)


def test_backups_restores_and_verifications_remove_nothing(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    one, two = place.names("s")[1:3]
    place.tamper(one, flipped(100))
    assert place.repository.verify(place.domain).quarantined == (first.root,)
    second = place.back_up(DATA, base=first, settings=SETTINGS)
    assert place.restored(second) == DATA
    place.tamper(two, flipped(100))
    place.tamper(one, flipped(2 * CHUNK))  # so another list takes the first one's place
    place.repository.verify(place.domain)
    assert len(place.names("bad")) == 3
    third = place.back_up(DATA, base=second, settings=SETTINGS)
    assert place.restored(third) == DATA
    assert place.ledger.damage(third.root) == ()


def test_an_unfinished_backup_is_gone_on_with(place: Place) -> None:
    dead = place.repository.new_session()

    def checkpoint() -> None:
        if place.names("c"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        place.back_up(
            DATA, session=dead, change_id="snapshot", settings=SETTINGS, checkpoint=checkpoint
        )
    written = place.back_up(DATA, change_id="snapshot", predecessor=dead, settings=SETTINGS)
    assert written.read_bytes < len(DATA)
    assert place.restored(written) == DATA


def test_a_deletion_waits_for_a_collection_that_may_remove(place: Place, store: AppendOnly) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    with pytest.raises(Refused):
        place.repository.delete(place.domain, written.root)
    assert place.ledger.state(SessionId(written.root)) == State.REMOVING
    with pytest.raises(Refused):
        place.repository.collect(place.domain)
    assert not place.ledger.refer(written.root)
    store.may_remove = True
    place.repository.collect(place.domain)
    assert place.ledger.state(SessionId(written.root)) == State.REMOVED
    assert place.names("r") == place.names("s") == place.names("c") == []


def test_what_a_collection_decided_holds_and_is_removed_later(
    place: Place, store: AppendOnly
) -> None:
    store.may_remove = True
    written, data = sparse_history(place)
    store.may_remove = False
    before = set(place.names("s"))
    for _ in range(3):
        with pytest.raises(Refused):
            place.repository.collect(place.domain)
    assert before < set(place.names("s"))
    assert place.restored(written) == data
    child = place.back_up(data, base=written, settings=SETTINGS)
    assert place.restored(child) == data
    store.may_remove = True
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.restored(written) == place.restored(child) == data
    assert sum(len(store.get(name)) for name in place.names("s")) < 1.1 * len(data)
