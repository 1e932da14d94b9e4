"""Keys in the store: wrapped anew, added to, destroyed."""

from collections.abc import Callable, Iterator

import pytest
from tests.engine.kek import KeyPerDomain

from emberkeep.engine import layout
from emberkeep.engine.errors import DamagedObject, KeyDestroyed, LedgerMissing, WrongKey
from emberkeep.engine.ids import DomainId
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.ledger import State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.protocols import KeyManager
from emberkeep.engine.repository import BEAT_SECONDS, Repository, Settings, Written
from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10
SETTINGS = Settings(chunk_size=CHUNK, segment_size=4 * CHUNK, workers=2)
OLD, NEW = b"old key!" * 4, b"new key!" * 4
BOTH = KeyFile(NEW, earlier=[OLD])


class Crash(Exception):
    """The process ended here."""


class BrittleStore(MemoryStore):
    """Ends the process at the `crash_at`-th change from now on, before or after it was made."""

    crash_at: int | None = None
    after = False

    def put(self, name: str, data: Buffer) -> None:
        self._change(lambda: super(BrittleStore, self).put(name, data))

    def delete(self, name: str) -> None:
        self._change(lambda: super(BrittleStore, self).delete(name))

    def _change(self, change: Callable[[], None]) -> None:
        if self.crash_at is not None:
            self.crash_at -= 1
            if self.crash_at == 0 and not self.after:
                raise Crash
        change()
        if self.crash_at == 0:
            raise Crash


class House:
    """A repository with two domains that hold a backup each."""

    def __init__(self, keys: KeyManager, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.ledger = MemoryLedger()
        self.now = 0.0
        self.repository = Repository.create(
            self.store, keys, ledger=a_ledger(self.ledger), clock=lambda: self.now
        )
        self.domains = [self.repository.create_domain() for _ in range(2)]
        self.backups = [self.back_up(domain) for domain in self.domains]

    def opened(self, keys: KeyManager) -> Repository:
        """The repository as another process has it."""
        return Repository.open(
            self.store, keys, ledger=a_ledger(self.ledger), clock=lambda: self.now
        )

    def back_up(self, domain: DomainId, *, by: Repository | None = None, **more: object) -> Written:
        repository = by or self.repository
        return repository.back_up(
            Image(image(domain)), domain=domain, description={}, settings=SETTINGS, **more
        )

    def check(self, repository: Repository) -> None:
        """Everything is there."""
        for domain, written in zip(self.domains, self.backups, strict=True):
            assert restored(repository, domain, written) == image(domain)

    def wrappings(self) -> list[str]:
        return [name for name in self.names("") if "key/" in name]

    def names(self, prefix: str) -> list[str]:
        return [item.name for item in self.store.list(prefix)]


def image(domain: DomainId) -> bytes:
    return repeatable(domain)(20 * CHUNK)


def restored(repository: Repository, domain: DomainId, written: Written) -> bytes:
    disk = Disk(written.size)
    repository.restore(domain, written.root, disk, settings=SETTINGS)
    return bytes(disk.data)


@pytest.fixture
def house() -> House:
    return House(KeyFile(OLD))


# Creation.


def test_of_two_processes_that_create_at_once_one_wins_and_both_work() -> None:
    class Racing(MemoryStore):
        raced = False

        def put(self, name: str, data: Buffer) -> None:
            if name == layout.FORMAT and not self.raced:
                self.raced = True
                made.append(Repository.create(self, a_key_manager()))
            super().put(name, data)

    made: list[Repository] = []
    store = Racing()
    made.append(Repository.create(store, a_key_manager()))
    assert len(list(store.list("key/"))) == 2
    assert made[0].id == made[1].id == Repository.open(store, a_key_manager()).id


def test_a_creation_that_ended_before_format_is_begun_anew() -> None:
    store = BrittleStore()
    store.crash_at = 2
    with pytest.raises(Crash):
        Repository.create(store, a_key_manager("lost"))
    made = Repository.create(store, a_key_manager())
    assert Repository.open(store, a_key_manager()).id == made.id


def test_nothing_but_new_names_is_written(house: House) -> None:
    before = {name: house.store.get(name) for name in house.names("")}
    house.opened(BOTH).rewrap(KeyFile(NEW))
    for name in before.keys() & set(house.names("")):
        assert house.store.get(name) == before[name]
    assert layout.FORMAT in house.names("")


# Wrapping anew.


def test_after_a_rewrap_the_new_key_alone_opens_everything(house: House) -> None:
    repository = house.opened(BOTH)
    assert repository.rewrap(KeyFile(NEW)) == 3
    house.check(house.opened(KeyFile(NEW)))
    with pytest.raises(WrongKey, match="emberkeep key import"):
        house.opened(KeyFile(OLD))
    assert [name.rpartition("/")[2] for name in house.wrappings()] == ["1.2", "1.2", "2"]
    house.check(house.opened(KeyFile(NEW)))
    domain = repository.create_domain()  # with the new key
    house.back_up(domain, by=house.opened(KeyFile(NEW)))


def test_a_repeated_rewrap_changes_nothing(house: House) -> None:
    house.opened(BOTH).rewrap(KeyFile(NEW))
    before = {name: house.store.get(name) for name in house.names("")}
    assert house.opened(BOTH).rewrap(KeyFile(NEW)) == 0
    assert {name: house.store.get(name) for name in house.names("")} == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 7))
def test_a_rewrap_may_be_interrupted_anywhere_and_repeated(step: int, after: bool) -> None:
    store = BrittleStore()
    house = House(KeyFile(OLD), store)
    repository = house.opened(BOTH)
    store.crash_at, store.after = step, after
    with pytest.raises(Crash):
        repository.rewrap(KeyFile(NEW))
    store.crash_at = None
    house.check(house.opened(BOTH))
    house.opened(BOTH).rewrap(KeyFile(NEW))
    house.check(house.opened(KeyFile(NEW)))
    assert len(house.wrappings()) == 3
    with pytest.raises(WrongKey):
        house.opened(KeyFile(OLD))


def test_a_rewrap_makes_six_changes(house: House) -> None:
    """So the test above has seen all of them."""
    store = BrittleStore()
    house = House(KeyFile(OLD), store)
    store.crash_at = 7
    house.opened(BOTH).rewrap(KeyFile(NEW))
    assert store.crash_at == 1


def test_what_cannot_be_read_back_removes_nothing(house: House) -> None:
    class Liar(KeyFile):
        def unwrap(self, wrapped: bytes, *, domain: str | None, context: bytes) -> bytes:
            return super().unwrap(wrapped, domain=domain, context=context)[:-1] + b"?"

    class Forgetful(KeyFile):
        def wrap(self, key: bytes, *, domain: str | None, context: bytes) -> bytes:
            return b"\0" * 60

    for broken in (Forgetful(NEW), Liar(NEW), Liar(NEW)):
        with pytest.raises(DamagedObject, match="were kept"):
            house.opened(BOTH).rewrap(broken)
        house.check(house.opened(KeyFile(OLD)))


def test_two_rewraps_at_once_leave_what_opens(house: House) -> None:
    class Racing(MemoryStore):
        raced = False

        def put(self, name: str, data: Buffer) -> None:
            if name.endswith("1.2") and not self.raced:
                self.raced = True
                Repository.open(self, BOTH).rewrap(KeyFile(NEW))
            super().put(name, data)

    racing = Racing()
    racing._objects = house.store._objects
    Repository.open(racing, BOTH).rewrap(KeyFile(NEW))
    assert racing.raced
    house.check(house.opened(KeyFile(NEW)))
    assert len(house.wrappings()) == 3


def test_the_highest_wrapping_that_opens_counts(house: House) -> None:
    for name in house.wrappings():
        house.store.put(f"{name[:-1]}7", b"of a key that was lost")
    house.check(house.opened(KeyFile(OLD)))
    house.opened(BOTH).rewrap(KeyFile(NEW))
    house.check(house.opened(KeyFile(NEW)))
    assert {name[-1] for name in house.wrappings()} == {"8"}


def test_a_wrapping_that_no_listing_shows_yet_is_found(house: House) -> None:
    class Stale(MemoryStore):
        """Lists what was there at first, which is gone by now."""

        def list(self, prefix: str) -> Iterator[StoredObject]:
            return iter([item for item in listed if item.name.startswith(prefix)])

    listed = list(house.store.list(""))
    house.opened(BOTH).rewrap(KeyFile(NEW))
    stale = Stale()
    stale._objects = house.store._objects
    house.check(Repository.open(stale, KeyFile(NEW)))
    Repository.open(stale, BOTH).rewrap(KeyFile(NEW))
    house.check(house.opened(KeyFile(NEW)))


def test_who_reads_while_keys_are_wrapped_anew_looks_again(house: House) -> None:
    class Busy(MemoryStore):
        """Wraps everything anew, twice, between a listing and what is read after it."""

        busy = True

        def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
            if name.startswith("key/") and self.busy:
                self.busy = False
                Repository.open(self, KeyFile(OLD)).rewrap(KeyFile(NEW))
                Repository.open(self, KeyFile(NEW)).rewrap(KeyFile(OLD))
            return super().get(name, offset=offset, length=length)

    busy = Busy()
    busy._objects = house.store._objects
    house.check(Repository.open(busy, KeyFile(OLD)))
    assert {name[-1] for name in house.wrappings()} == {"3"}


def test_a_domain_that_no_listing_shows_is_wrapped_anew_if_it_is_named(house: House) -> None:
    class Stale(MemoryStore):
        def list(self, prefix: str) -> Iterator[StoredObject]:
            unseen = f"d/{house.domains[0]}/key/"
            return (item for item in super().list(prefix) if not item.name.startswith(unseen))

    stale = Stale()
    stale._objects = house.store._objects
    assert Repository.open(stale, BOTH).rewrap(KeyFile(NEW), domains=house.domains) == 3
    repository = house.opened(KeyFile(NEW))
    house.check(repository)


def test_a_repository_moves_from_one_key_manager_to_another(house: House) -> None:
    keks = KeyPerDomain()
    house.repository.rewrap(keks)
    house.check(house.opened(keks))
    house.check(house.repository)


# More data keys.


def test_a_new_data_key_is_used_by_sessions_that_begin_later(house: House) -> None:
    domain, other = house.domains[0], house.opened(KeyFile(OLD))
    house.back_up(domain, by=other)  # so it has read the domain's keys
    assert house.repository.add_data_key(domain) == 2
    for by in (house.repository, other):
        written = house.back_up(domain, by=by)
        assert by.describe(domain, written.root).layout.key == 2
    house.check(other)
    assert house.repository.describe(house.domains[1], house.backups[1].root).layout.key == 1
    assert house.opened(BOTH).rewrap(KeyFile(NEW)) == 4
    assert restored(house.opened(KeyFile(NEW)), domain, written) == image(domain)


def test_who_meets_a_data_key_that_was_made_meanwhile_reads_it_once(house: House) -> None:
    domain = house.domains[0]

    class Counting(MemoryStore):
        reads = 0

        def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
            self.reads += name.endswith("/key/2.1")
            return super().get(name, offset=offset, length=length)

    store = Counting()
    store._objects = house.store._objects
    other = Repository.open(store, KeyFile(OLD), ledger=a_ledger(house.ledger))
    other.describe(domain, house.backups[0].root)
    house.repository.add_data_key(domain)
    written = house.back_up(domain)
    assert other.describe(domain, written.root).layout.key == 2
    assert restored(other, domain, written) == image(domain)
    assert store.reads == 1


def test_a_data_key_that_is_missing_harms_only_what_needs_it(house: House) -> None:
    domain = house.domains[0]
    house.repository.add_data_key(domain)
    written = house.back_up(domain)
    house.store._objects[f"d/{domain}/key/2.1"] = b"damaged"
    repository = house.opened(KeyFile(OLD))
    house.check(repository)
    with pytest.raises(WrongKey, match="key/2"):
        restored(repository, domain, written)
    with pytest.raises(WrongKey, match="key/2"):
        house.back_up(domain, by=repository)  # never with the older key instead
    house.store.delete(f"d/{domain}/key/2.1")
    with pytest.raises(DamagedObject, match=r"key/2\.\*: this data key is missing"):
        restored(house.opened(KeyFile(OLD)), domain, written)


# Destroying.


def key_managers() -> list[KeyManager]:
    return [KeyFile(OLD), KeyPerDomain()]


@pytest.mark.parametrize("keys", key_managers(), ids=["one key", "a key for each domain"])
def test_destroying_keys_makes_the_domain_unreadable_at_once_and_only_it(keys: KeyManager) -> None:
    house = House(keys)
    (gone, kept), (lost, whole) = house.domains, house.backups
    other = house.opened(keys)
    house.check(other)  # so it has all keys in memory
    house.repository.destroy_keys(gone)
    if isinstance(keys, KeyPerDomain):
        keys.destroy(gone)
    with pytest.raises(KeyDestroyed):
        house.repository.describe(gone, lost.root)
    for repository in (house.repository, other, house.opened(keys)):
        with pytest.raises(KeyDestroyed, match=f"key of domain {gone} was destroyed"):
            restored(repository, gone, lost)
        with pytest.raises(KeyDestroyed):
            repository.describe(gone, lost.root)
        with pytest.raises(KeyDestroyed):
            house.back_up(gone, by=repository)
        with pytest.raises(KeyDestroyed):
            repository.add_data_key(gone)
        with pytest.raises(KeyDestroyed):
            repository.verify(gone, depth=3)
        assert restored(repository, kept, whole) == image(kept)
        again = house.back_up(kept, by=repository)
        assert restored(repository, kept, again) == image(kept)
    assert house.names(f"d/{gone}/key/") == [layout.destroyed_name(gone)]
    house.repository.destroy_keys(gone)  # changes nothing


def test_nothing_in_the_store_or_the_key_manager_opens_what_was_destroyed() -> None:
    """Whatever a thief takes afterwards."""
    keks = KeyPerDomain()
    house = House(keks)
    gone = house.domains[0]
    kept = {name: house.store.get(name) for name in house.names(f"d/{gone}/key/")}
    house.repository.destroy_keys(gone)
    keks.destroy(gone)
    for name, data in kept.items():  # an old copy of the store
        house.store.put(name, data)
    house.store.delete(layout.destroyed_name(gone))
    with pytest.raises(WrongKey):
        restored(house.opened(keks), gone, house.backups[0])


def test_a_backup_under_way_ends_and_commits_nothing(house: House) -> None:
    gone, kept = house.domains
    session = house.repository.new_session()
    destroyed = False

    def destroy() -> None:
        nonlocal destroyed
        if not destroyed:
            destroyed = True
            house.opened(KeyFile(OLD)).destroy_keys(gone)

    with pytest.raises(KeyDestroyed):
        house.back_up(gone, session=session, checkpoint=destroy)
    assert house.ledger.state(session) == State.ABORTED
    running = house.repository.new_session()
    house.ledger.begin(running, domain=kept)
    house.repository.destroy_keys(gone)
    assert house.ledger.state(running) == State.ACTIVE


def test_a_restore_under_way_ends_at_its_next_sign_of_life(house: House) -> None:
    gone = house.domains[0]
    steps = 0

    def destroy() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            house.opened(KeyFile(OLD)).destroy_keys(gone)
        house.now += BEAT_SECONDS

    with pytest.raises(KeyDestroyed):
        house.repository.restore(
            gone, house.backups[0].root, Disk(house.backups[0].size), checkpoint=destroy
        )
    assert steps == 1


def test_what_was_destroyed_can_be_deleted_and_collected(house: House) -> None:
    gone = house.domains[0]
    house.repository.destroy_keys(gone)
    house.repository.collect(gone)
    assert house.names(f"d/{gone}/s/") != []
    assert house.repository.verify(gone).damaged == ()
    assert gone in house.repository.domains()
    house.repository.delete(gone, house.backups[0].root)
    house.repository.collect(gone)
    assert house.names(f"d/{gone}/") == [layout.destroyed_name(gone)]
    assert house.opened(BOTH).rewrap(KeyFile(NEW)) == 2
    assert restored(house.repository, house.domains[1], house.backups[1])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 4))
def test_destroying_may_be_interrupted_anywhere_and_repeated(step: int, after: bool) -> None:
    store = BrittleStore()
    house = House(KeyFile(OLD), store)
    gone = house.domains[0]
    house.repository.add_data_key(gone)
    store.crash_at, store.after = step, after
    with pytest.raises(Crash):
        house.repository.destroy_keys(gone)
    store.crash_at = None
    if step > 1 or after:
        with pytest.raises(KeyDestroyed):
            restored(house.opened(KeyFile(OLD)), gone, house.backups[0])
    house.repository.destroy_keys(gone)
    assert house.names(f"d/{gone}/key/") == [layout.destroyed_name(gone)]


def test_a_data_key_made_while_the_keys_are_destroyed_does_not_stay(house: House) -> None:
    gone = house.domains[0]

    class Racing(MemoryStore):
        def put(self, name: str, data: Buffer) -> None:
            if name.endswith("/key/2.1"):
                house.repository.destroy_keys(gone)
            super().put(name, data)

    racing = Racing()
    racing._objects = house.store._objects
    with pytest.raises(KeyDestroyed):
        Repository.open(racing, KeyFile(OLD)).add_data_key(gone)
    assert house.names(f"d/{gone}/key/") == [layout.destroyed_name(gone)]


def test_a_key_wrapped_anew_while_it_is_destroyed_does_not_stay(house: House) -> None:
    gone = house.domains[0]

    class Racing(MemoryStore):
        def put(self, name: str, data: Buffer) -> None:
            if name == f"d/{gone}/key/1.2":
                house.repository.destroy_keys(gone)
            super().put(name, data)

    racing = Racing()
    racing._objects = house.store._objects
    Repository.open(racing, BOTH).rewrap(KeyFile(NEW))
    assert house.names(f"d/{gone}/key/") == [layout.destroyed_name(gone)]


def test_who_has_no_key_cannot_say_that_keys_were_destroyed(house: House) -> None:
    domain = house.domains[0]
    house.store.put(layout.destroyed_name(domain), b"so they say")
    with pytest.raises(DamagedObject, match="key/destroyed"):
        restored(house.opened(KeyFile(OLD)), domain, house.backups[0])


def test_keys_are_not_destroyed_by_mistake(house: House) -> None:
    with pytest.raises(DamagedObject, match="no such domain"):
        house.repository.destroy_keys(DomainId("0" * 32))
    with pytest.raises(LedgerMissing):
        Repository.open(house.store, KeyFile(OLD)).destroy_keys(house.domains[0])
    house.check(house.opened(KeyFile(OLD)))


# Signs of life.


def test_a_long_backup_gives_signs_of_life(house: House) -> None:
    session = house.repository.new_session()
    house.ledger._clock = lambda: house.now

    def work() -> None:
        house.now += BEAT_SECONDS / 2
        assert house.ledger.expire(silent_for=2 * BEAT_SECONDS) == []

    begin = house.now
    house.back_up(house.domains[0], session=session, checkpoint=work)
    assert house.now - begin > 3 * BEAT_SECONDS


def test_a_long_restore_gives_signs_of_life(house: House) -> None:
    house.ledger._clock = lambda: house.now
    domain, size = house.domains[0], 300 * CHUNK
    written = house.repository.back_up(
        Image(repeatable("long")(size)), domain=domain, description={}, settings=SETTINGS
    )

    def work() -> None:
        house.now += 1.5 * BEAT_SECONDS
        assert house.ledger.expire(silent_for=2 * BEAT_SECONDS) == []

    begin = house.now
    house.repository.restore(domain, written.root, Disk(size), settings=SETTINGS, checkpoint=work)
    assert house.now - begin > 2 * BEAT_SECONDS


def test_who_begins_a_session_gives_its_signs_of_life(house: House) -> None:
    """As the service does, whose jobs have a lease."""
    domain, session = house.domains[0], house.repository.new_session()
    house.ledger._clock = lambda: house.now

    def work() -> None:
        house.now += BEAT_SECONDS

    begun = house.ledger.begin(session, domain=domain)
    house.repository.write(
        Image(image(domain)), domain=domain, session=session, begun=begun, description={},
        settings=SETTINGS, checkpoint=work,
    )  # fmt: skip
    assert house.ledger.expire(silent_for=2 * BEAT_SECONDS) == [session]
