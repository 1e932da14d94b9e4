"""One fixed example of each kind of object: what this release reads and writes, byte for byte.

`python -m tests.engine.test_vectors` prints them anew, for a new version of the format; a test
never does.  What zstd compresses (nodes, ids, footers) is compared by what is read, because another
release of zstd may write other bytes; the chunks of the example do not shrink, so they are stored
as they are.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from emberkeep.engine import blockmap, keys, layout, roots, segments
from emberkeep.engine.blockmap import Node
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.keys import MetadataKey
from emberkeep.engine.layout import Kind, Pointer, SegmentId
from emberkeep.engine.repository import Repository, Settings
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, repeatable

CHUNK = 32 << 10
FILE = Path(__file__).with_name("vectors") / "repository.json"


def the_image() -> bytes:
    """Two chunks that do not shrink, one of zeros between them, and an odd end."""
    noise = repeatable("vector image")
    return noise(CHUNK) + bytes(CHUNK) + noise(CHUNK) + b"the end"


def the_objects() -> dict[str, bytes]:
    """The repository of the example, written by this release."""
    store = MemoryStore()
    repository = Repository.create(store, a_key_manager(), random=repeatable("vectors"))
    domain = repository.create_domain()
    repository.back_up(
        Image(the_image()),
        domain=domain,
        session=repository.new_session(),
        description={"volume_id": "a-volume", "name": "vector"},
        settings=Settings(chunk_size=CHUNK, workers=1),
    )
    return {item.name: store.get(item.name) for item in store.list("")}


def made_anew() -> dict[str, Any]:
    return {
        "image_sha256": hashlib.sha256(the_image()).hexdigest(),
        "objects": {name: data.hex() for name, data in the_objects().items()},
        "node": a_node().encode().hex(),
        "key": a_key_manager().export_text(),
        "key_under_passphrase": a_key_manager().export_text("correct horse"),
    }


def a_node() -> Node:
    """A leaf with four chunks of two sessions."""
    entries = blockmap.no_entries()
    places = {
        0: Pointer(SegmentId(SessionId("11" * 16), 0), 1, 0, 64, 20_000),
        1: Pointer(SegmentId(SessionId("11" * 16), 0), 1, 1, 20_064, 31_234),
        7: Pointer(SegmentId(SessionId("22" * 16), 5), 2, 900, 1 << 24, 17),
        255: Pointer(SegmentId(SessionId("11" * 16), 1), 1, 3, 70_000, 65_553),
    }
    for slot, place in places.items():
        entries[slot] = blockmap.entry(place)
    return Node(1, entries, None, bytes(range(16)))


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


@pytest.fixture(scope="module")
def objects(vector: dict[str, Any]) -> dict[str, bytes]:
    return {name: bytes.fromhex(text) for name, text in vector["objects"].items()}


@pytest.fixture(scope="module")
def store(objects: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    for name, data in objects.items():
        store.put(name, data)
    return store


def only(objects: dict[str, bytes], kind: str) -> str:
    (name,) = (name for name in objects if name.split("/")[2:3] == [kind])
    return name


def metadata_key(objects: dict[str, bytes]) -> MetadataKey:
    content = json.loads(objects["format"])
    context = keys.metadata_key_context(content["repository"])
    wrapped = bytes.fromhex(content["metadata_key"])
    return MetadataKey(a_key_manager().unwrap(wrapped, domain=None, context=context))


def test_the_vector_restores_for_ever(vector: dict[str, Any], store: MemoryStore) -> None:
    repository = Repository.open(store, a_key_manager())
    (domain,) = repository.domains()
    (root,) = repository.roots(domain)
    disk = Disk(len(the_image()), content=b"\xee" * len(the_image()))
    repository.restore(domain, root, disk)
    assert hashlib.sha256(disk.data).hexdigest() == vector["image_sha256"]
    assert repository.describe(domain, root).description["name"] == "vector"


def test_this_release_writes_the_same_names(objects: dict[str, bytes]) -> None:
    assert sorted(the_objects()) == sorted(objects)


@pytest.mark.parametrize("kind", ["format", "key"])
def test_format_and_wrapped_key_are_written_byte_for_byte(
    objects: dict[str, bytes], kind: str
) -> None:
    name = "format" if kind == "format" else only(objects, "key")
    assert the_objects()[name] == objects[name]


def test_records_of_a_segment_are_written_byte_for_byte(objects: dict[str, bytes]) -> None:
    """Header and chunk records: the first records of the session's first segment."""
    name = only(objects, "s")
    length = layout.HEADER_SIZE + 2 * (CHUNK + segments.OVERHEAD)
    assert the_objects()[name][:length] == objects[name][:length]


def test_footer_and_ids_of_a_segment_are_read(
    objects: dict[str, bytes], store: MemoryStore
) -> None:
    segment, generation = layout.parse_segment_name(only(objects, "s"))
    repository = Repository.open(store, a_key_manager())
    (domain,) = repository.domains()
    domain_keys = repository._keys(domain)
    footer = segments.read_footer(store, metadata_key(objects), domain, segment)
    assert generation == "0"
    assert footer.volume == "a-volume"
    assert [Kind(kind) for kind in footer.records["kind"]] == [
        Kind.CHUNK, Kind.CHUNK, Kind.CHUNK, Kind.NODE, Kind.IDS,
    ]  # fmt: skip
    ids = segments.read_ids(store, metadata_key(objects), domain_keys, segment)
    image = the_image()
    assert list(ids.numbers) == [0, 2, 3]
    assert ids.of(0) == domain_keys.identify(image[:CHUNK])
    assert ids.of(2) == domain_keys.identify(image[3 * CHUNK :].ljust(CHUNK, b"\0"))
    assert ids.of(3) is None


def test_the_layout_part_of_a_root_is_read(objects: dict[str, bytes], store: MemoryStore) -> None:
    name = only(objects, "r")
    domain, root = DomainId(name.split("/")[1]), RootId(name.split("/")[3])
    part, data = roots.read_layout(store, metadata_key(objects), domain, root)
    assert data == objects[name]
    assert (part.size, part.chunk_size, part.height) == (len(the_image()), CHUNK, 1)
    assert part.sessions == (SessionId(root),)
    assert part.top is not None


def test_a_node_is_encoded_byte_for_byte_and_read(vector: dict[str, Any]) -> None:
    stored = bytes.fromhex(vector["node"])
    assert a_node().encode() == stored
    again = Node.decode(stored)
    assert again.entries.tobytes() == a_node().entries.tobytes()
    assert again.digest == a_node().digest


def test_an_exported_key_is_written_byte_for_byte_and_read(
    vector: dict[str, Any], tmp_path: Path
) -> None:
    assert a_key_manager().export_text() == vector["key"]
    assert a_key_manager().export_text("correct horse") == vector["key_under_passphrase"]
    wrapped = a_key_manager().wrap(b"secret", domain="d", context=b"c")
    for number, (text, passphrase) in enumerate(
        [(vector["key"], None), (vector["key_under_passphrase"], "correct horse")]
    ):
        imported = KeyFile.import_text(text, tmp_path / str(number), passphrase)
        assert imported.unwrap(wrapped, domain="d", context=b"c") == b"secret"


if __name__ == "__main__":
    print(json.dumps(made_anew(), indent=1))
