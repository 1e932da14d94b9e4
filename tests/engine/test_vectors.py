"""What was written once is read for ever, and is written as it was.

The vectors are never made by a test; see `make_vectors`.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine import make_vectors as made
from tests.engine.plain_reader import PlainReader, parse_node

from emberkeep.engine import keys, layout, roots, segments
from emberkeep.engine.blockmap import FANOUT, Node, height_for
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.layout import Kind, Pointer
from emberkeep.engine.repository import DomainId, Repository, RootId
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.writer import default_chunk_size
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, a_key_manager

# Written down here as well, so that a vector made anew by mistake is noticed.
IMAGES = [
    "dac649dbf61619629f08b641aa7ae3844ab812e32654caaafd77cd0717c0ae6a",
    "17440e1a134f670016fd3ee5b93b7d6698e145e3fd782310ae4680a18342febe",
]


def text(name: str) -> str:
    return (made.VECTORS / name).read_text(encoding="utf-8")


def vector(name: str) -> bytes:
    return bytes.fromhex(text(name))


@pytest.mark.parametrize(
    "name",
    [
        "format.hex",
        "metadata-key.hex",
        "domain-key.hex",
        "leaf.hex",
        "inner-node.hex",
        "root.hex",
        "key.txt",
        "key-under-passphrase.txt",
    ],
)
def test_what_does_not_depend_on_zstd_is_written_as_it_was(name: str) -> None:
    assert made.FILES[name]() == text(name)


def test_format_opens() -> None:
    store = MemoryStore()
    content = json.loads(vector("format.hex"))
    store.put(layout.FORMAT, vector("format.hex"))
    store.put(f"key/{content['repository']}/1", vector("metadata-key.hex"))
    assert Repository.open(store, a_key_manager()).id == content["repository"]
    assert sorted(content) == [
        "cipher", "features", "incarnation", "mac", "repository", "title", "version",
    ]  # fmt: skip


def test_the_domain_key_is_unwrapped() -> None:
    wrapped = vector("domain-key.hex")
    context = keys.domain_key_context(made.REPOSITORY, made.DOMAIN, 7)
    plain = a_key_manager().unwrap(wrapped, domain=made.DOMAIN, context=context)
    assert keys.decode_domain_key(plain) == (made.DATA_KEY, made.ID_KEY)


def test_the_working_keys_are_those_that_they_were() -> None:
    domain, session = made.DOMAIN, made.SESSION
    derived = [
        made.METADATA_KEY.footer_key(domain, session, 5, "0"),
        made.METADATA_KEY.layout_key(domain, session),
        made.DOMAIN_KEYS.description_key(7, session),
        made.DOMAIN_KEYS.identify(b"emberkeep"),
    ]
    assert [key.hex() for key in derived] == [
        "0533952b9c53dcc298d0ff2605f46064867a32ae4d6634967cc0911f2c3340d8",
        "f78cb50fa6bf57186d2f65056424e244980cff7f0ca1964405e25cbea016efce",
        "6dedb53de9ca2133392fe3765f21cdcf5a694062b5b145b0bbbd7fa3f310eac1",
        "1c83fe3bda68ce8dc594dcfb12e3a106",
    ]


@pytest.mark.parametrize(("name", "node"), [("leaf", made.leaf), ("inner-node", made.inner_node)])
def test_a_node_is_decoded(name: str, node: Callable[[], Node]) -> None:
    expected, data = node(), vector(f"{name}.hex")
    found = Node.decode(data)
    assert (found.height, found.digest) == (expected.height, expected.digest)
    assert found.entries.tobytes() == expected.entries.tobytes()
    assert (found.digests is None) == (expected.digests is None)
    if found.digests is not None:
        assert found.digests.tobytes() == expected.digests.tobytes()
    height, entries, digests, digest = parse_node(data)
    assert (height, digest) == (found.height, found.digest)
    for slot in range(FANOUT):
        row = found.entries[slot]
        assert (slot in entries) == bool(row["length"])
        if slot in entries:
            entry = entries[slot]
            assert row["session"].tobytes().hex() == entry.session
            for field in ("key", "seq", "index", "offset", "length"):
                assert row[field] == getattr(entry, field)
            if digests:
                assert found.digests[slot].tobytes() == digests[slot]


def test_the_segments_header_and_raw_records_are_written_as_they_were() -> None:
    stored, written = vector("segment.hex"), made.segment()
    nodes = [node().encode() for node in (made.leaf, made.inner_node)]
    contents = [*made.CHUNKS.values(), *nodes]
    end = layout.HEADER_SIZE + sum(len(data) + segments.OVERHEAD for data in contents)
    assert stored[:end] == written[:end]
    assert stored[:12] == b"EMBRKSEG\1\0\0\0"


def test_the_segment_is_read() -> None:
    store, name = MemoryStore(), layout.segment_name(made.DOMAIN, made.SEGMENT)
    assert name == (
        "d/101112131415161718191a1b1c1d1e1f/s/20/202122232425262728292a2b2c2d2e2f/00000005.0"
    )
    data = vector("segment.hex")
    store.put(name, data)
    reader = SegmentReader(store, made.METADATA_KEY, made.DOMAIN, None)
    tail = reader.tail(made.SEGMENT)
    footer = tail.footer
    assert (footer.volume, footer.key) == (made.VOLUME, 7)
    assert list(footer.records["kind"]) == [Kind.CHUNK] * 2 + [Kind.NODE] * 2 + [Kind.IDS]
    ids = reader.ids(tail, made.DOMAIN_KEYS)
    assert list(ids.indexes) == [0, 1]
    assert list(ids.numbers) == list(made.CHUNKS)
    ciphers = {
        Kind.CHUNK: made.DOMAIN_KEYS.record_cipher(7, made.SESSION),
        Kind.NODE: made.METADATA_KEY.node_cipher(made.DOMAIN, made.SESSION),
    }
    nodes = [node().encode() for node in (made.leaf, made.inner_node)]
    for row, content in zip(footer.records, [*made.CHUNKS.values(), *nodes], strict=False):
        kind, offset, length = Kind(row["kind"]), int(row["offset"]), int(row["length"])
        place = Pointer(made.SEGMENT, 7, int(row["index"]), offset, length)
        stored = data[offset : offset + length]
        found = segments.open_record(
            ciphers[kind], kind, place, stored, limit=1 << 16, name="vector"
        )
        assert found == content
        if kind is Kind.CHUNK:
            assert ids.of(place.index) == made.DOMAIN_KEYS.identify(content)


def test_the_root_is_read() -> None:
    store = MemoryStore()
    root, data = RootId(made.SESSION), vector("root.hex")
    store.put(layout.root_name(made.DOMAIN, root), data)
    found = roots.decode(
        store.get(layout.root_name(made.DOMAIN, root)), made.METADATA_KEY, made.DOMAIN_KEYS, root
    )
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.size, found.chunk_size) == (10_000_000, made.CHUNK)
    assert found.base == "303132333435363738393a3b3c3d3e3f"
    assert (found.top.height, found.top.place) == (2, made.TOP)
    assert found.content_digest == made.inner_node().digest
    assert found.change_id == "snap-1"
    assert found.description == {"volume_id": made.VOLUME, "name": "день"}
    assert found.layout.sessions == (made.OTHER_SESSION, made.SESSION)
    assert found.layout.counters["stored_bytes"] == 1234


@pytest.mark.parametrize(
    ("name", "passphrase"), [("key", None), ("key-under-passphrase", made.PASSPHRASE)]
)
def test_an_exported_key_is_imported(tmp_path: Path, name: str, passphrase: str | None) -> None:
    KeyFile.import_text(text(f"{name}.txt"), tmp_path / "key", passphrase)
    content = json.loads((tmp_path / "key").read_text())
    stored = json.loads(text("repository.json"))
    assert content == {"title": "emberkeep key", "version": 1, "key": stored["key"]}


class Stored:
    """The vector of a whole repository."""

    def __init__(self) -> None:
        content = json.loads(text("repository.json"))
        self.key = bytes.fromhex(content["key"])
        self.domain = DomainId(content["domain"])
        self.backups = content["backups"]
        self.objects = {name: bytes.fromhex(data) for name, data in content["objects"].items()}


def test_the_repository_restores_to_what_it_was_made_of() -> None:
    stored, store = Stored(), MemoryStore()
    for name, data in stored.objects.items():
        store.put(name, data)
    repository = Repository.open(store, KeyFile(stored.key))
    assert list(repository.roots(stored.domain)) == sorted(stored.backups)
    restored = []
    for root, facts in stored.backups.items():
        disk = Disk(facts["size"], content=b"\xee" * facts["size"])
        repository.restore(stored.domain, RootId(root), disk)
        restored.append(hashlib.sha256(disk.data).hexdigest())
    assert restored == IMAGES == [facts["sha256"] for facts in stored.backups.values()]


def test_a_reader_that_knows_only_the_specification_restores_it() -> None:
    stored = Stored()
    reader = PlainReader(stored.objects, stored.key, stored.domain)
    restored = [hashlib.sha256(reader.restore(root)).hexdigest() for root in stored.backups]
    assert restored == IMAGES
    names = [name.split("/") for name in stored.objects if "/s/" in name]
    assert len(names) == 2
    for *_rest, session, last in names:
        reader.check_segment(session, int(last[:8], 16))


def test_the_repository_is_written_as_it_was_but_for_zstd() -> None:
    stored, written = Stored(), made.repository()
    assert written["backups"] == stored.backups
    assert list(written["objects"]) == list(stored.objects)
    first = layout.HEADER_SIZE + made.CHUNK + segments.OVERHEAD  # the chunk that is raw
    for name, data in stored.objects.items():
        again = bytes.fromhex(written["objects"][name])
        match name.removeprefix("d/" + stored.domain).split("/")[:2]:
            case ["format"] | ["key", *_] | ["", "key"]:
                assert again == data
            case ["", "s"]:
                assert again[: layout.HEADER_SIZE] == data[: layout.HEADER_SIZE]
            case _:
                assert again[:12] == data[:12] == b"EMBRKROO" + struct.pack("<I", 1)
    full = next(iter(stored.backups))
    name = f"d/{stored.domain}/s/{full[:2]}/{full}/00000000.0"
    assert bytes.fromhex(written["objects"][name])[:first] == stored.objects[name][:first]


def test_the_specifications_sizes() -> None:
    tib = 1 << 40
    sizes = [default_chunk_size(size) >> 10 for size in (4 * tib, 4 * tib + 1, 16 * tib + 1)]
    assert sizes == [64, 128, 256]
    assert height_for(0, made.CHUNK) == height_for(256 * made.CHUNK, made.CHUNK) == 1
    assert height_for(256 * made.CHUNK + 1, made.CHUNK) == 2
