"""A database that was put back: noticed before anything is removed, and settled from the store."""

from collections.abc import Callable, Iterator

import pytest
from tests.engine.place import CHUNK, Place, copy_of, pattern

from emberkeep.engine import layout
from emberkeep.engine.errors import LedgerBehind
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Settings, Written
from emberkeep.stores.base import StoredObject
from emberkeep.stores.memory import MemoryStore

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=2)
DATA = pattern(60 * CHUNK)


class Forgetful(MemoryStore):
    """A store whose listings miss some objects."""

    def __init__(self) -> None:
        super().__init__()
        self.misses: Callable[[str], bool] = lambda _name: False

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return (item for item in super().list(prefix) if not self.misses(item.name))


class Killed(Exception):
    pass


@pytest.fixture
def store() -> Forgetful:
    return Forgetful()


@pytest.fixture
def place(store: Forgetful) -> Place:
    return Place(store)


def an_increment(place: Place, domain: DomainId | None = None) -> tuple[Written, Written, bytes]:
    """A base, and a backup that needs a tenth of it."""
    place.domain = domain or place.domain
    changed = bytearray(pattern(60 * CHUNK, "changed"))
    for start in range(0, 60 * CHUNK, 10 * CHUNK):
        changed[start : start + CHUNK] = DATA[start : start + CHUNK]
    base = place.back_up(DATA, settings=SETTINGS)
    return base, place.back_up(bytes(changed), base=base, settings=SETTINGS), bytes(changed)


def put_back(place: Place, ledger: MemoryLedger) -> None:
    place.ledger = ledger
    place.repository = place.opened()


def test_cycles_of_other_domains_hide_no_rollback(place: Place) -> None:
    base, written, data = an_increment(place)
    other = place.repository.create_domain()
    place.repository.delete(place.domain, base.root)
    saved = copy_of(place.ledger)
    place.repository.collect(place.domain)  # compacts, and is forgotten
    put_back(place, saved)
    for _ in range(3):
        place.repository.collect(other)
    for _ in range(2):
        with pytest.raises(LedgerBehind, match=r"/g/1-.*emberkeep repo rebuild"):
            place.repository.collect(place.domain)
    place.repository.settle()
    assert place.restored(written) == data


def test_what_a_forgotten_gate_left_is_not_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    saved: list[MemoryLedger] = []
    gate = place.ledger.gate

    def save(session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        saved.append(copy_of(place.ledger))
        return gate(session, cycle, gens=gens, gone=gone)

    monkeypatch.setattr(place.ledger, "gate", save)
    place.repository.collect(place.domain)
    put_back(place, saved[0])  # drained, but the gate was forgotten: no number tells
    for _ in range(2):
        reasons = place.repository.collect(place.domain).reasons
        assert any("what should be instead is missing" in reason for reason in reasons)
    place.repository.settle()
    assert place.restored(written) == data


def test_a_root_that_a_listing_misses_is_asked_for_by_name(store: Forgetful, place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    put_back(place, MemoryLedger())
    store.misses = lambda name: "/r/" in name
    assert place.repository.settle()[place.domain].backups == (written.root,)
    store.misses = lambda _name: False
    place.repository.collect(place.domain)
    assert place.restored(written) == DATA


def test_a_segment_that_a_listing_misses_is_not_given_up(store: Forgetful, place: Place) -> None:
    base = place.back_up(DATA, settings=SETTINGS)
    data = DATA[:CHUNK] + pattern(39 * CHUNK, "changed") + DATA[40 * CHUNK :]
    written = place.back_up(data, base=base, settings=SETTINGS)
    place.repository.delete(place.domain, base.root)
    place.repository.collect(place.domain)  # compacts the first segment, but not the last
    put_back(place, MemoryLedger())
    store.misses = lambda name: name.endswith("00000002.0")
    assert place.repository.settle()[place.domain].backups == (written.root,)
    store.misses = lambda _name: False
    for _ in range(2):
        place.repository.collect(place.domain)
        assert place.restored(written) == data


def test_a_backup_whose_records_were_compacted_away_is_broken(place: Place) -> None:
    base, written, data = an_increment(place)
    top = place.repository.describe(place.domain, base.root).top.place
    assert top is not None
    saved, objects = copy_of(place.ledger), dict(place.store._objects)
    place.repository.delete(place.domain, base.root)
    place.repository.collect(place.domain)
    # The deletion was forgotten, and the root came back with its nodes, but not all of its chunks.
    root, nodes = (
        layout.root_name(place.domain, base.root),
        layout.segment_name(place.domain, top.segment),
    )
    place.store._objects |= {name: objects[name] for name in (root, nodes)}
    put_back(place, saved)
    settled = place.repository.settle()[place.domain]
    assert settled.backups == (written.root,)
    assert "is missing" in settled.broken[base.root]
    assert place.restored(written) == data


def test_what_a_collection_left_that_failed_at_its_gate_is_not_settled_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, written, data = an_increment(place)
    place.repository.delete(place.domain, base.root)
    gate = place.ledger.gate

    def killed(session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        if gens is not None:
            raise Killed
        return gate(session, cycle, gens=gens, gone=gone)

    with monkeypatch.context() as patch:
        patch.setattr(place.ledger, "gate", killed)
        with pytest.raises(Killed):
            place.repository.collect(place.domain)
    # What the lost compaction took for dead lives again.
    again = place.back_up(DATA, predecessor=SessionId(base.root), settings=SETTINGS)
    assert again.new_chunks == 0
    put_back(place, MemoryLedger())
    assert len(place.repository.settle()[place.domain].backups) == 2
    for _ in range(2):
        place.repository.collect(place.domain)
        assert place.restored(again) == DATA
        assert place.restored(written) == data


def test_a_backup_whose_root_is_gone_is_told(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    place.store.delete(layout.root_name(place.domain, written.root))
    settled = place.repository.settle()[place.domain]
    assert settled.backups == ()
    assert "is missing" in settled.broken[written.root]


def test_until_all_domains_are_settled_nothing_is_collected(place: Place) -> None:
    an_increment(place)
    an_increment(place, place.repository.create_domain())
    put_back(place, MemoryLedger())
    settles: list[DomainId] = []
    settle = place.ledger.settle

    def once(domain: DomainId, **found: object) -> None:
        if settles:
            raise Killed
        settles.append(domain)
        settle(domain, **found)  # type: ignore[arg-type]

    place.ledger.settle = once  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        place.repository.settle()
    place.ledger.settle = settle  # type: ignore[method-assign]
    for domain in place.repository.domains():
        with pytest.raises(LedgerBehind, match="incarnation"):
            place.repository.collect(domain)
    place.repository.settle()
    for domain in place.repository.domains():
        place.repository.collect(domain)


def test_what_an_unknown_session_left_goes(place: Place) -> None:
    written = place.back_up(DATA, settings=SETTINGS)
    unknown = SessionId("ab" * 16)
    for name in (
        layout.checkpoint_name(place.domain, unknown, 1),
        layout.gens_name(place.domain, "1-00000000", unknown),
        f"d/{place.domain}/bad/{unknown}.00000000.00000000",
    ):
        place.store.put(name, b"left")
    place.repository.settle()
    assert place.ledger.state(unknown) == State.ABORTED
    for _ in range(2):
        place.repository.collect(place.domain)
    assert place.names("c") == place.names("g") == place.names("bad") == []
    assert place.restored(written) == DATA


def test_a_repository_without_domains_is_settled(place: Place) -> None:
    place.store._objects = {
        name: data for name, data in place.store._objects.items() if not name.startswith("d/")
    }
    assert place.repository.settle() == {}
    place.repository.collect(place.repository.create_domain())
