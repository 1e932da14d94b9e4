"""What a later release may add to a repository, and what this one does with it (docs/format.md)."""

import json
from collections.abc import Callable
from hashlib import sha256

import google_crc32c
import pytest
from tests.engine.place import CHUNK, Place, pattern

from emberkeep.engine import keys, layout
from emberkeep.engine.errors import DamagedObject, NotARepository, WrongKey
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import MetadataKey
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager, repeatable

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=0, checkpoint_bytes=1)
DATA = pattern(300 * CHUNK)


@pytest.fixture
def place() -> Place:
    return Place()


def strange_names(place: Place, session: SessionId) -> list[str]:
    domain, segments = f"d/{place.domain}", f"s/{session[:2]}/{session}"
    return [
        "later/1",
        "d/later",
        f"d/{'ab' * 16}/later/1",
        f"{domain}/later/{session}",
        "key/later",
        f"key/{place.repository.id}/later",
        f"{domain}/h/{session}",
        f"{domain}/h/{session}/later",
        f"{domain}/h/9-later",
        f"{domain}/key/1.1.later",
        f"{domain}/key/later",
        f"{domain}/key/destroyed.later",
        f"{domain}/r/{session}.later",
        f"{domain}/r/later",
        f"{domain}/s/later",
        f"{domain}/{segments}/later",
        f"{domain}/{segments}/00000000.later",
        f"{domain}/{segments}/00000000.9-00000000.later",
        f"{domain}/c/{session}/later",
        f"{domain}/g/later/{session}",
        f"{domain}/bad/later",
    ]


def test_objects_of_unknown_names_are_ignored_and_left_alone(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    dead = place.repository.new_session()
    place.ledger.begin(dead, domain=place.domain, base=first.root)
    strange = [*strange_names(place, SessionId(first.root)), *strange_names(place, dead)]
    for name in dict.fromkeys(strange):
        place.store.put(name, b"of a later release")
    second = place.back_up(DATA, base=first, predecessor=dead, change_id="x", settings=SETTINGS)
    assert list(place.repository.roots(place.domain)) == sorted([first.root, second.root])
    place.repository.delete(place.domain, first.root)
    for depth in (1, 2, 3):
        assert place.repository.verify(place.domain, depth=depth).damaged == ()
    place.repository.collect(place.domain)
    assert place.restored(second) == DATA
    place.ledger = MemoryLedger()
    place.repository = place.opened()
    assert place.repository.settle()[place.domain].backups == (second.root,)
    assert place.repository.domains() == [place.domain]
    place.repository.collect(place.domain)
    assert place.restored(second) == DATA
    place.repository = Repository.open(place.store, a_key_manager())
    assert place.restored(second) == DATA
    assert all(place.store.get(name) == b"of a later release" for name in strange)


def test_a_compacted_segment_is_found_beside_names_that_are_unknown(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    second = place.back_up(DATA[: 5 * CHUNK], base=first, settings=SETTINGS)
    place.repository.delete(place.domain, first.root)
    place.repository.collect(place.domain)
    for name in strange_names(place, SessionId(first.root)):
        place.store.put(name, b"of a later release")
    place.repository = Repository.open(place.store, a_key_manager())
    assert place.restored(second) == DATA[: 5 * CHUNK]


def changed_format(change: Callable[[dict[str, object]], None]) -> MemoryStore:
    """A store whose `format` says something else, with a MAC that fits."""
    store, changed = MemoryStore(), MemoryStore()
    repository = Repository.create(store, a_key_manager(), random=repeatable("format"))
    content = json.loads(store.get(layout.FORMAT))
    del content["mac"]
    change(content)
    content["mac"] = repository._metadata_key.format_mac(content)
    changed.put(layout.FORMAT, json.dumps(content).encode())
    (item,) = store.list("key/")
    changed.put(item.name, store.get(item.name))
    return changed


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 2), ("features", ["sharded-maps"]), ("cipher", "aes-256-gmac")],
)
def test_a_repository_of_a_later_kind_is_refused_by_name(field: str, value: object) -> None:
    later = changed_format(lambda content: content.update({field: value}))
    shown = value[0] if isinstance(value, list) else str(value)
    with pytest.raises(NotARepository, match=f"{shown}.*take a newer"):
        Repository.open(later, a_key_manager())


def test_a_field_of_format_that_is_unknown_is_ignored_but_authenticated() -> None:
    later = changed_format(lambda content: content.update(colour="blue"))
    Repository.open(later, a_key_manager())
    later._objects[layout.FORMAT] = later.get(layout.FORMAT).replace(b"blue", b"grey")
    with pytest.raises(DamagedObject, match="format: it was changed"):
        Repository.open(later, a_key_manager())


def wrapped(place: Place, **more: str) -> None:
    """A second data key, made by a later release."""
    content = {
        "cipher": keys.CIPHER, "id_algorithm": keys.ID_ALGORITHM, "data_key": "11" * 32,
        "id_key": place.repository._keys(place.domain).identity.hex(), **more,
    }  # fmt: skip
    context = keys.domain_key_context(place.repository.id, place.domain, 2)
    plain = json.dumps(content).encode()
    sealed = a_key_manager().wrap(plain, domain=place.domain, context=context)
    place.store.put(f"{layout.key_prefix(place.domain, 2)}1", sealed)
    place.repository = place.opened()


def test_a_domain_key_with_an_unknown_field_is_used(place: Place) -> None:
    wrapped(place, colour="blue")
    assert place.restored(place.back_up(DATA)) == DATA


@pytest.mark.parametrize("field", ["cipher", "id_algorithm"])
def test_a_domain_key_for_something_unknown_is_refused(place: Place, field: str) -> None:
    wrapped(place, **{field: "rot13"})
    with pytest.raises(WrongKey, match="rot13"):
        place.back_up(DATA)


def sealed_root(place: Place, root: RootId, change: Callable[[dict[str, object]], None]) -> None:
    """Put a root whose layout part says something else in its place."""
    metadata_key: MetadataKey = place.repository._metadata_key
    domain_keys = place.repository._keys(place.domain)
    name, session = layout.root_name(place.domain, root), SessionId(root)
    layout_key = metadata_key.layout_key(place.domain, session)
    description_key = domain_keys.description_key(1, session)
    data = place.store.get(name)
    length = int.from_bytes(data[12:16], "little")
    content = json.loads(keys.unseal(layout_key, data[16 : 16 + length], name))
    described = json.loads(keys.unseal(description_key, data[20 + length : -4], name))
    change(content)
    first = keys.seal(layout_key, json.dumps(content).encode(), repeatable("one"))
    described["layout_sha256"] = sha256(first).hexdigest()
    described["colour"] = "blue"
    second = keys.seal(description_key, json.dumps(described).encode(), repeatable("two"))
    parts = b"".join(len(part).to_bytes(4, "little") + part for part in (first, second))
    whole = data[:12] + parts
    place.tamper(name, lambda _old: whole + google_crc32c.value(whole).to_bytes(4, "little"))


def test_unknown_fields_of_a_root_are_ignored(place: Place) -> None:
    written = place.back_up(DATA)
    sealed_root(place, written.root, lambda content: content.update(colour="blue"))
    found = place.repository.describe(place.domain, written.root)
    assert found.size == len(DATA)


def test_a_root_without_what_it_must_say_is_damaged(place: Place) -> None:
    written = place.back_up(DATA)
    sealed_root(place, written.root, lambda content: content.pop("chunk_size"))
    with pytest.raises(DamagedObject, match=written.root):
        place.restored(written)


def test_a_root_of_another_version_is_refused_and_all_that_it_may_need_is_kept(
    place: Place,
) -> None:
    written = place.back_up(DATA)
    lost = place.back_up(pattern(CHUNK, "lost"))
    place.repository.delete(place.domain, lost.root)
    name = layout.root_name(place.domain, written.root)
    before, segments = place.store.get(name), place.names("s")
    place.tamper(name, lambda data: data[:8] + b"\2" + data[9:])
    with pytest.raises(DamagedObject, match="of a version known here"):
        place.restored(written)
    with pytest.raises(DamagedObject, match=f"nothing was collected.*{written.root}"):
        place.repository.collect(place.domain)
    assert place.repository.verify(place.domain).quarantined == (written.root,)
    place.repository.collect(place.domain)
    assert place.names("s") == [name for name in segments if lost.root not in name]
    place.tamper(name, lambda _data: before)
    assert place.restored(written) == DATA
