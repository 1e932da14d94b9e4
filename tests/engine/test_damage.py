"""Every object of a small repository, damaged in every place: noticed or harmless, not believed."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from emberkeep.engine.errors import DamagedObject, EngineError, WrongKey
from emberkeep.engine.repository import DomainId, Repository, Settings, Written
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10


@dataclass(frozen=True)
class Small:
    """A repository with a full backup and one that shares with it, and what they restore to."""

    objects: dict[str, bytes]
    domain: DomainId
    backups: dict[str, bytes]  # by root

    def restored(self, objects: dict[str, bytes], root: str) -> bytes:
        store = MemoryStore()
        for name, data in objects.items():
            store.put(name, data)
        repository = Repository.open(store, a_key_manager())
        disk = Disk(len(self.backups[root]), content=b"\xee" * len(self.backups[root]))
        repository.restore(self.domain, root, disk)  # type: ignore[arg-type]
        return bytes(disk.data)


@pytest.fixture(scope="module")
def small() -> Small:
    store = MemoryStore()
    repository = Repository.create(
        store, a_key_manager(), ledger=a_ledger(), random=repeatable("small")
    )
    domain = repository.create_domain()
    text = b"".join(b"line %d of a file\n" % number for number in range(9000))
    image = bytearray(text[: 3 * CHUNK] + bytes(CHUNK) + text[:1000])

    def back_up(base: Written | None) -> Written:
        return repository.back_up(
            Image(bytes(image)), domain=domain, session=repository.new_session(),
            description={"volume_id": "v"}, base=base.root if base else None,
            settings=Settings(chunk_size=CHUNK, compression_level=19),
        )  # fmt: skip

    full = back_up(None)
    backups = {str(full.root): bytes(image)}
    image[CHUNK : CHUNK + 5] = b"other"
    backups[str(back_up(full).root)] = bytes(image)
    objects = {item.name: store.get(item.name) for item in store.list("")}
    return Small(objects, domain, backups)


def check(small: Small, objects: dict[str, bytes], name: str) -> set[str]:
    """Restore all backups from `objects`; return those that were refused, with a proper error."""
    refused = set()
    for root, image in small.backups.items():
        try:
            restored = small.restored(objects, root)
        except EngineError as error:
            refused.add(root)
            message = str(error)
        else:
            assert restored == image, f"{name}: wrong bytes of {root}"
            continue
        if name.split("/")[2:3] in (["s"], ["r"]):
            assert name in message
            assert root in message
    return refused


def test_the_whole_repository_restores(small: Small) -> None:
    assert check(small, small.objects, "") == set()
    assert sorted(name.split("/")[2] for name in small.objects if name.startswith("d/")) == [
        "key", "r", "r", "s", "s",
    ]  # fmt: skip


def damaged(small: Small, damage: Callable[[bytes], list[bytes]]) -> int:
    """Apply each damage to each object in turn; return how many were noticed."""
    noticed = 0
    for name, data in small.objects.items():
        for other in damage(data):
            noticed += bool(check(small, {**small.objects, name: other}, name))
    return noticed


def test_each_byte_flipped_is_noticed_or_harmless(small: Small) -> None:
    def flips(data: bytes) -> list[bytes]:
        return [data[:at] + bytes((data[at] ^ 0x41,)) + data[at + 1 :] for at in range(len(data))]

    everything = sum(map(len, small.objects.values()))
    # Harmless: headers, ids records, footers and trailers of segments, which a restore does not
    # need, and the white space of `format`.
    assert everything * 0.4 < damaged(small, flips) < everything


def test_each_truncation_is_noticed_or_harmless(small: Small) -> None:
    def cuts(data: bytes) -> list[bytes]:
        return [data[:length] for length in range(len(data))]

    assert damaged(small, cuts) > 0


def test_an_object_with_more_at_its_end_is_noticed_or_harmless(small: Small) -> None:
    damaged(small, lambda data: [data + b"\0", data + data])


@pytest.mark.parametrize("kind", ["format", "key", "r", "s"])
def test_a_missing_object_is_noticed(small: Small, kind: str) -> None:
    for name in small.objects:
        if name == kind or f"/{kind}/" in f"/{name}":
            left = {other: data for other, data in small.objects.items() if other != name}
            assert check(small, left, name)


@pytest.mark.parametrize("kind", ["r", "s"])
def test_two_objects_exchanged_are_noticed(small: Small, kind: str) -> None:
    first, second = (name for name in small.objects if f"/{kind}/" in name)
    exchanged = {
        **small.objects,
        first: small.objects[second],
        second: small.objects[first],
    }
    for root in small.backups:
        with pytest.raises(DamagedObject, match=root):
            small.restored(exchanged, root)


def test_an_object_of_another_repository_is_noticed(small: Small) -> None:
    store = MemoryStore()
    other = Repository.create(store, a_key_manager(), random=repeatable("other"))
    domain = other.create_domain()
    foreign = store.get(f"d/{domain}/key/1.1")
    key = f"d/{small.domain}/key/1.1"
    for root in small.backups:
        with pytest.raises(WrongKey):
            small.restored({**small.objects, key: foreign}, root)
        with pytest.raises(EngineError):
            small.restored({**small.objects, "format": store.get("format")}, root)


def test_every_object_looks_random_but_for_its_frame(small: Small) -> None:
    for name, data in small.objects.items():
        if "/s/" in name:
            body = data[64:-16]
            assert len(zlib.compress(body, 9)) > len(body)
