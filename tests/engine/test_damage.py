"""Every object, harmed in every way: noticed, never believed, and nobody else's loss.

What is tried at once is one object of each kind; the slow tests try all of them, byte by byte.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import combinations, permutations

import pytest
from tests.engine.harm import NOBODY, Backup, Outcome, Patient, Ward, kind_of
from tests.engine.life import CHUNK, UNFINISHED

from emberkeep.engine.errors import DamagedObject, EngineError, NotARepository, WrongKey
from emberkeep.engine.ids import RootId
from emberkeep.engine.repository import Repository
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager, repeatable

KINDS = ["incarnation", "key", "r", "s", "compacted", "g", "c", "h"]
WARD = Ward()
TYPICAL = [
    "incarnation/2",
    *(name for name in WARD.names("key") if name.endswith(("1.2", "2.1"))),
    WARD.names("r")[0],
    max(WARD.names("s"), key=lambda name: len({p.what for p in WARD.parts(name) if p.reached_by})),
    *WARD.names("compacted")[:1],
    *WARD.names("g")[:1],
    *WARD.names("c")[1:],
    *WARD.names("h"),
]


def flipped(data: bytes, at: int, by: int = 0x41) -> bytes:
    return data[:at] + bytes((data[at] ^ by,)) + data[at + 1 :]


def test_nothing_is_wrong_before_anything_is_harmed() -> None:
    patient = WARD.patient()
    assert len(patient.backups) == 6
    assert patient.lost("") == patient.lost("", with_ledger=False) == NOBODY
    for depth in (1, 2, 3):
        assert not any(found.damaged or found.quarantined for found in patient.verified(depth))
    assert {kind for kind in KINDS if WARD.names(kind)} == set(KINDS)
    whats = {part.what for name in TYPICAL if "/s/" in name for part in WARD.parts(name)}
    assert whats == {"header", "chunk", "node", "ids", "end"}
    patient.collect()
    assert patient.lost("") == NOBODY
    assert not garbage(patient)


def garbage(patient: Patient) -> bool:
    return any(WARD.lived.garbage in item.name for item in patient.store.list("d/"))


class Trial:
    """What came of harming `name`, the way that `changed` says."""

    def __init__(self, name: str, changed: Mapping[str, bytes | None], outcome: Outcome) -> None:
        self.name, self.changed, self.outcome = name, changed, outcome

    def check(self) -> None:
        for with_ledger in (True, False):
            patient = WARD.patient(self.changed)
            lost = patient.lost(self.name, with_ledger=with_ledger)
            assert lost == self.outcome.lost, (self.name, with_ledger)
        self.check_collection_before_verification()
        for depth in (1, 2, 3):
            self.check_verification(depth)
        if self.outcome.marked:
            self.check_healing()

    def glance(self, turn: int, *, verify: bool) -> None:
        """A part of `check`, another one each turn."""
        patient = WARD.patient(self.changed)
        backups = sorted(WARD.backups)
        looked_at = {*self.outcome.lost, *self.outcome.marked, backups[turn % len(backups)]}
        lost = patient.lost(self.name, looked_at, with_ledger=turn % 2 == 0)
        assert lost == self.outcome.lost
        if verify:
            self.check_verification(1 + turn % 3, put_back=turn % 16 == 0)

    def check_verification(self, depth: int, *, put_back: bool = True) -> None:
        patient, outcome = WARD.patient(self.changed), self.outcome
        if outcome.refuses and depth == 3:
            with pytest.raises(EngineError, match=self.name.rpartition("/")[0]):
                patient.verified(depth)
        elif outcome.found_by_its_key:
            patient.verified(depth)
            assert patient.marked() == (outcome.lost if depth == 3 else NOBODY)
        else:
            verified = patient.verified(depth)
            marked = patient.marked()
            assert marked == {root for found in verified for root in found.quarantined}
            if depth > 1:
                assert marked == outcome.marked
                told = any(self.name in line for found in verified for line in found.damaged)
                assert told == bool(outcome.told or outcome.marked)
            assert outcome.seen_at_once <= marked <= outcome.marked
        if put_back:
            patient.collect()
            assert not garbage(patient)
            assert patient.lost(self.name) <= outcome.lost
            self.put_back(patient)
            assert patient.marked() == NOBODY

    def check_collection_before_verification(self) -> None:
        patient = WARD.patient(self.changed)
        try:
            patient.collect()
        except DamagedObject:
            # What stops the collection of one domain is nothing to the other, where no garbage is.
            assert garbage(patient) or WARD.lived.life.domain not in self.name
            assert self.outcome.seen_at_once
        self.put_back(patient)

    def put_back(self, patient: Patient) -> None:
        """Nothing that is needed was removed meanwhile, nor replaced by less."""
        for name in self.changed:
            patient.store._objects[name] = WARD.objects[name]
        assert patient.lost("") == NOBODY
        patient.verified(2)
        assert patient.lost("", with_ledger=False) == NOBODY

    def check_healing(self) -> None:
        """The next backups that still have what is damaged store it anew, and are whole."""
        patient = WARD.patient(self.changed)
        patient.verified(2)
        marked = patient.marked()
        for root in sorted(marked):
            if f"/r/{root}" in self.name:
                with pytest.raises(DamagedObject, match=self.name):
                    patient.back_up(WARD.backups[root], base=root)
                continue
            healed = patient.back_up(WARD.backups[root], base=root)
            assert patient.restored(healed.root) is None
        patient.verified(3)
        assert patient.marked() == marked


@pytest.mark.parametrize("name", TYPICAL, ids=kind_of)
def test_an_object_is_lost(name: str) -> None:
    Trial(name, {name: None}, WARD.if_removed(name)).check()


@pytest.mark.parametrize("name", TYPICAL, ids=kind_of)
def test_an_object_is_another_of_its_kind(name: str) -> None:
    others = [other for other in WARD.names(kind_of(name)) if other != name]
    data = WARD.objects[others[-1]] if others else b"of another repository"
    Trial(name, {name: data}, WARD.if_exchanged(name)).check()


def spots(name: str) -> Iterator[int]:
    """A byte in each part of an object."""
    if "/s/" not in name:
        yield from {100, len(WARD.objects[name]) - 50} if "/r/" in name else {9}  # both parts
        return
    seen = set()
    for part in WARD.parts(name):
        if part.what not in seen:
            seen.add(part.what)
            yield (part.begin + part.end) // 2


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name in TYPICAL for at in spots(name)], ids=str
)
def test_a_byte_is_flipped(name: str, at: int) -> None:
    data = flipped(WARD.objects[name], at)
    Trial(name, {name: data}, WARD.if_flipped(name, at)).check()


@pytest.mark.parametrize(
    ("name", "length"), [(name, at) for name in TYPICAL for at in spots(name)], ids=str
)
def test_an_object_is_cut(name: str, length: int) -> None:
    data = WARD.objects[name][:length]
    Trial(name, {name: data}, WARD.if_cut(name, length)).check()


def all_harms(whole: bytes) -> list[bytes]:
    """An object with each byte flipped, and of each length."""
    harmed = [flipped(whole, at) for at in range(len(whole))]
    return harmed + [whole[:length] for length in range(len(whole))]


def test_each_byte_and_each_length_of_format_counts() -> None:
    """But for white space between its fields."""
    whole = WARD.objects["format"]
    opened = 0
    for data in all_harms(whole):
        try:
            WARD.patient({"format": data}).open()
        except (NotARepository, WrongKey, DamagedObject):
            continue
        assert json.loads(data) == json.loads(whole)
        opened += 1
    assert opened < 20


def test_without_format_or_with_anothers_nothing_can_be_read() -> None:
    with pytest.raises(NotARepository):
        WARD.patient({"format": None}).open()
    other = MemoryStore()
    Repository.create(other, a_key_manager(), random=repeatable("other"))
    patient = WARD.patient({"format": other.get("format")})
    assert patient.lost("format") == frozenset(WARD.backups)


(METADATA_KEY,) = WARD.names("metadata key")


def test_each_byte_and_each_length_of_the_metadata_key_counts() -> None:
    for data in all_harms(WARD.objects[METADATA_KEY]):
        patient = WARD.patient({METADATA_KEY: data})
        with pytest.raises(WrongKey, match=METADATA_KEY.rpartition("/")[0]):
            patient.open()


def test_without_the_metadata_key_or_with_anothers_nothing_can_be_read() -> None:
    with pytest.raises(DamagedObject, match=METADATA_KEY.rpartition("/")[0]):
        WARD.patient({METADATA_KEY: None}).open()
    other = MemoryStore()
    Repository.create(other, a_key_manager(), random=repeatable("other"))
    (wrapped,) = other.list("key/")
    with pytest.raises(WrongKey, match=METADATA_KEY.rpartition("/")[0]):
        WARD.patient({METADATA_KEY: other.get(wrapped.name)}).open()
    # With its own `format` the other repository's key opens, and opens nothing that is here.
    both = {"format": other.get("format"), wrapped.name: other.get(wrapped.name)}
    patient = WARD.patient(both)
    assert patient.open().domains()
    assert patient.lost("") == frozenset(WARD.backups)


def test_an_older_wrapping_of_the_metadata_key_in_place_of_a_newer_opens() -> None:
    newer = METADATA_KEY[:-1] + "2"
    patient = WARD.patient({METADATA_KEY: None, newer: WARD.objects[METADATA_KEY]})
    assert patient.lost("") == NOBODY


# Domains whose keys were destroyed.


def destroyed(*, keys_left: bool = False) -> tuple[str, Patient]:
    """A domain's keys were destroyed: the object that says so, and the repository."""
    patient = WARD.patient()
    domain = next(iter(patient.backups.values())).domain
    patient.open().destroy_keys(domain)
    if keys_left:
        patient.store._objects |= {n: d for n, d in WARD.objects.items() if f"{domain}/key/" in n}
    return f"d/{domain}/key/destroyed", patient


def of_domain(patient: Patient, name: str) -> frozenset[str]:
    return frozenset(r for r, backup in patient.backups.items() if backup.domain in name)


@pytest.mark.parametrize("keys_left", [False, True])
def test_that_keys_were_destroyed_is_believed_however_it_is_harmed(keys_left: bool) -> None:
    """Harm may come to it, but never give the keys back; nor are they needed to collect."""
    name, whole = destroyed(keys_left=keys_left)
    sealed = whole.store.get(name)
    assert whole.lost("") == of_domain(whole, name) < whole.backups.keys()
    root = min(of_domain(whole, name))
    for data in (*all_harms(sealed), b"of another repository", sealed + b"more"):
        whole.store._objects[name] = data
        refused = whole.restored(RootId(root))
        assert refused is not None
        assert name in refused
    assert whole.lost("") == of_domain(whole, name)
    whole.collect()
    assert not garbage(whole)


def test_what_tells_that_keys_were_destroyed_is_of_one_domain() -> None:
    name, patient = destroyed()
    other = next(b.domain for b in patient.backups.values() if b.domain not in name)
    moved = f"d/{other}/key/destroyed"
    patient.store._objects[moved] = patient.store.get(name)
    with pytest.raises(DamagedObject, match=moved):
        patient.open().back_up(
            next(b for b in patient.backups.values() if b.domain == other),
            domain=other,
            description={},
        )


def test_without_what_tells_it_keys_that_are_gone_stay_gone() -> None:
    name, patient = destroyed()
    del patient.store._objects[name]
    domain = name.split("/")[1]
    refused = patient.restored(RootId(min(of_domain(patient, name))))
    assert refused is not None
    assert f"d/{domain}/key/" in refused
    assert patient.lost("") == of_domain(patient, name)


OLDER = [
    (name, old)
    for kind in ("key", "compacted", "g", "c")
    for name in WARD.names(kind)
    for old in WARD.older(name)
]


def test_there_are_older_ones() -> None:
    kinds = {kind_of(name) for name, _old in OLDER}
    assert kinds == {"key", "compacted", "g", "c"}


@pytest.mark.parametrize(
    ("name", "old"), OLDER, ids=lambda it: kind_of(it) if it in WARD.objects else ""
)
def test_an_object_is_an_older_one_of_the_same_thing(name: str, old: bytes) -> None:
    outcome = WARD.if_exchanged(name)
    if "/key/" in name:
        outcome = Outcome()  # whichever wrapping opens holds the same keys
    Trial(name, {name: old}, outcome).check()


# Lists of damage.


class Ill:
    """A record is damaged in each of two segments, and a verification has listed both."""

    def __init__(self) -> None:
        names = [name for name in WARD.names("s") if len(WARD.parts(name)[-1].reached_by) == 2]
        self.harmed = {}
        for name in names[:2]:
            part = next(part for part in WARD.parts(name) if part.what == "chunk")
            self.harmed[name] = flipped(WARD.objects[name], part.begin + 20)
        patient = WARD.patient(self.harmed)
        patient.verified(2)
        self.marked, self.ledger = patient.marked(), patient.ledger
        self.bad = f"d/{names[0].split('/')[1]}/bad/"
        self.lists = {
            item.name: patient.store.get(item.name) for item in patient.store.list(self.bad)
        }

    def patient(self, changed: Mapping[str, bytes | None]) -> Patient:
        """With other lists, or without."""
        return WARD.patient({**self.harmed, **self.lists, **changed}, self.ledger)


ILL = Ill()


def harmed_lists(step: int) -> dict[str, bytes | None]:
    first, second = ILL.lists.values()
    return {
        "lost": None,
        "exchanged": second,
        **{f"flipped at {at}": flipped(first, at) for at in range(0, len(first), step)},
        **{f"cut to {length}": first[:length] for length in range(0, len(first), step)},
    }


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_of_an_unreadable_list_of_damage_all_of_its_segment_counts(step: int) -> None:
    name, root = next(iter(ILL.lists)), min(ILL.marked)
    assert ILL.patient({}).back_up(WARD.backups[root], base=root).new_chunks == 2
    for how, data in harmed_lists(step).items():
        patient = ILL.patient({name: data})
        healed = patient.back_up(WARD.backups[root], base=root)
        assert healed.new_chunks == 4, how
        assert patient.restored(healed.root) is None
        patient.collect()
        patient.verified(2)
        assert patient.marked() == patient.lost("") == ILL.marked, how
        assert len(list(patient.store.list(ILL.bad))) == 2
        assert not garbage(patient)


def test_marks_are_lifted_and_lists_removed_when_all_is_whole_again() -> None:
    patient = ILL.patient({})
    patient.store._objects |= {name: WARD.objects[name] for name in ILL.harmed}
    patient.verified(1)
    assert patient.marked() == ILL.marked  # it has not looked at records
    patient.verified(2)
    assert patient.marked() == patient.lost("") == NOBODY
    assert not list(patient.store.list(ILL.bad))


# Checkpoints.


class Unfinished:
    """The backup that did not end, gone on with."""

    def __init__(self) -> None:
        domain, self.session, data = WARD.lived.unfinished
        chunks = {n: data[n * CHUNK : (n + 1) * CHUNK] for n in range(len(data) // CHUNK)}
        chunks = {number: chunk for number, chunk in chunks.items() if any(chunk)}
        self.image = Backup.of(domain, len(data), chunks, change_id=UNFINISHED)
        self.checkpoints = WARD.names("c")

    def read_with(self, changed: Mapping[str, bytes | None]) -> int:
        """Bytes that are read anew with such checkpoints; the backup is right in any case."""
        patient = WARD.patient(changed)
        written = patient.back_up(self.image, predecessor=self.session)
        assert patient.restored(written.root) is None
        return written.read_bytes


@pytest.mark.parametrize("step", [200, pytest.param(7, marks=pytest.mark.slow)])
def test_of_harmed_checkpoints_the_last_whole_one_is_gone_on_with(step: int) -> None:
    unfinished = Unfinished()
    first, second = unfinished.checkpoints
    anew = unfinished.read_with({first: None, second: None})
    from_first = unfinished.read_with({second: None})
    from_second = unfinished.read_with({})
    assert anew > from_first > from_second
    one, two = WARD.objects[first], WARD.objects[second]
    assert unfinished.read_with({first: two, second: one}) == anew
    assert unfinished.read_with({second: one}) == from_first
    for name, expected in ((first, from_second), (second, from_first)):
        data = WARD.objects[name]
        for at in range(0, len(data), step):
            assert unfinished.read_with({name: flipped(data, at)}) == expected
            assert unfinished.read_with({name: data[:at]}) == expected


# Everything, byte by byte.


EVERY = [name for kind in KINDS for name in WARD.names(kind)]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_each_byte_is_flipped(name: str) -> None:
    for at in range(len(WARD.objects[name])):
        data = flipped(WARD.objects[name], at, by=1 << at % 8)
        Trial(name, {name: data}, WARD.if_flipped(name, at)).glance(at, verify=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_it_is_cut_at_each_length(name: str) -> None:
    for length in range(len(WARD.objects[name])):
        data = WARD.objects[name][:length]
        Trial(name, {name: data}, WARD.if_cut(name, length)).glance(length, verify=length % 4 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_another_of_its_kind(kind: str) -> None:
    for name, other in permutations(WARD.names(kind), 2):
        outcome = WARD.if_exchanged(name)
        if kind == "key" and name[:-1] == other[:-1]:
            outcome = Outcome()  # another wrapping of the same keys
        Trial(name, {name: WARD.objects[other]}, outcome).check()
    for name, other in combinations(WARD.names(kind), 2):
        patient = WARD.patient({name: WARD.objects[other], other: WARD.objects[name]})
        lost = WARD.if_exchanged(name).lost | WARD.if_exchanged(other).lost
        if kind == "key" and name[:-1] == other[:-1]:
            lost = NOBODY
        assert patient.lost("") == lost


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_each_is_lost(name: str) -> None:
    Trial(name, {name: None}, WARD.if_removed(name)).check()
