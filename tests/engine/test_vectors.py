"""What was written once is read for ever, and is written as it was.

The vectors are never made by a test; see `make_vectors`.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.engine import life, samples
from tests.engine import make_vectors as made
from tests.engine.plain_reader import (
    PlainDomain,
    PlainRepository,
    derive,
    parse_hints,
    parse_node,
)
from tests.engine.samples import inner_node, leaf

from emberkeep.engine import keys, layout, roots, segments
from emberkeep.engine.blockmap import FANOUT, Node, height_for
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.layout import Kind, Pointer
from emberkeep.engine.ledger import Begun, Ledger
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import DomainId, Repository, RootId, SessionId
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.writer import default_chunk_size
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger

# Written down here as well, so that a vector made anew by mistake is noticed.
IMAGES = [
    "0e33cb6d895dc2c0bd1e7df700d316264eeec5e1673bff7215d45ac8ad6284b4",
    "165d4ad8c2b8444e2cca153f14430d85745f3fd245a4e289d6c899b39f3c454f",
    "5e1cbfd47c6d580bbe1fa2da43399f1189ade4a4935ab967808583b2b5485a06",
    "795784a10f7fe5e71191e26c191585f3b418e6671dc97f796674794d889d1bef",
    "a762a43222c4039b8297f0495166617176fbcafa03857a05ff9fe30f9a41ddab",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
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
    context = keys.domain_key_context(samples.REPOSITORY, samples.DOMAIN, 7)
    plain = a_key_manager().unwrap(wrapped, domain=samples.DOMAIN, context=context)
    assert keys.decode_domain_key(plain, "") == (samples.DATA_KEY, samples.ID_KEY)


def test_the_working_keys_are_those_that_they_were() -> None:
    domain, session = samples.DOMAIN, samples.SESSION
    derived = [
        samples.METADATA_KEY.footer_key(domain, session, 5, "0"),
        samples.METADATA_KEY.layout_key(domain, session),
        samples.DOMAIN_KEYS.description_key(7, session),
        samples.DOMAIN_KEYS.identify(b"emberkeep"),
    ]
    assert [key.hex() for key in derived] == [
        "0533952b9c53dcc298d0ff2605f46064867a32ae4d6634967cc0911f2c3340d8",
        "f78cb50fa6bf57186d2f65056424e244980cff7f0ca1964405e25cbea016efce",
        "6dedb53de9ca2133392fe3765f21cdcf5a694062b5b145b0bbbd7fa3f310eac1",
        "1c83fe3bda68ce8dc594dcfb12e3a106",
    ]


@pytest.mark.parametrize(("name", "node"), [("leaf", leaf), ("inner-node", inner_node)])
def test_a_node_is_decoded(name: str, node: Callable[[], Node]) -> None:
    expected, data = node(), vector(f"{name}.hex")
    found = Node.decode(data)
    assert (found.height, found.digest) == (expected.height, expected.digest)
    assert found.entries.tobytes() == expected.entries.tobytes()
    assert (found.digests is None) == (expected.digests is None)
    if found.digests is not None:
        assert found.digests.tobytes() == expected.digests.tobytes()
    plain = parse_node(data)
    assert (plain.height, plain.digest) == (found.height, found.digest)
    for slot in range(FANOUT):
        row = found.entries[slot]
        assert (slot in plain.pointers) == bool(row["length"])
        if slot in plain.pointers:
            pointer = plain.pointers[slot]
            assert row["session"].tobytes().hex() == pointer.session
            for field in ("key", "seq", "index", "offset", "length"):
                assert row[field] == getattr(pointer, field)
            if found.digests is not None:
                assert found.digests[slot].tobytes() == plain.digests[slot]


def test_the_segments_header_and_raw_records_are_written_as_they_were() -> None:
    stored, written = vector("segment.hex"), samples.segment()
    nodes = [node().encode() for node in (leaf, inner_node)]
    contents = [*samples.CHUNKS.values(), *nodes]
    end = layout.HEADER_SIZE + sum(len(data) + segments.OVERHEAD for data in contents)
    assert stored[:end] == written[:end]
    assert stored[:12] == b"EMBRKSEG\1\0\0\0"


def test_the_segment_is_read() -> None:
    store, name = MemoryStore(), layout.segment_name(samples.DOMAIN, samples.SEGMENT)
    assert name == (
        "d/101112131415161718191a1b1c1d1e1f/s/20/202122232425262728292a2b2c2d2e2f/00000005.0"
    )
    data = vector("segment.hex")
    store.put(name, data)
    reader = SegmentReader(store, samples.METADATA_KEY, samples.DOMAIN, None)
    tail = reader.tail(samples.SEGMENT)
    footer = tail.footer
    assert (footer.volume, footer.key) == (samples.VOLUME, 7)
    assert list(footer.records["kind"]) == [Kind.CHUNK] * 2 + [Kind.NODE] * 2 + [Kind.IDS]
    ids = reader.ids(tail, samples.DOMAIN_KEYS)
    assert list(ids.indexes) == [0, 1]
    assert list(ids.numbers) == list(samples.CHUNKS)
    ciphers = {
        Kind.CHUNK: samples.DOMAIN_KEYS.record_cipher(7, samples.SESSION),
        Kind.NODE: samples.METADATA_KEY.node_cipher(samples.DOMAIN, samples.SESSION),
    }
    nodes = [node().encode() for node in (leaf, inner_node)]
    for row, content in zip(footer.records, [*samples.CHUNKS.values(), *nodes], strict=False):
        kind, offset, length = Kind(row["kind"]), int(row["offset"]), int(row["length"])
        place = Pointer(samples.SEGMENT, 7, int(row["index"]), offset, length)
        stored = data[offset : offset + length]
        found = segments.open_record(
            ciphers[kind], kind, place, stored, limit=1 << 16, name="vector"
        )
        assert found == content
        if kind is Kind.CHUNK:
            assert ids.of(place.index) == samples.DOMAIN_KEYS.identify(content)


def test_the_root_is_read() -> None:
    root, data = RootId(samples.SESSION), vector("root.hex")
    found = roots.decode(data, samples.METADATA_KEY, samples.DOMAIN_KEYS, root)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.size, found.chunk_size) == (10_000_000, samples.CHUNK)
    assert found.base == "303132333435363738393a3b3c3d3e3f"
    assert (found.top.height, found.top.place) == (2, samples.TOP)
    assert found.content_digest == inner_node().digest
    assert found.change_id == "snap-1"
    assert found.description == {"volume_id": samples.VOLUME, "name": "день"}
    assert found.layout.sessions == (samples.SESSION, samples.OTHER_SESSION)
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
        self.images = {
            (DomainId(domain), RootId(root)): sha256
            for domain, backups in content["backups"].items()
            for root, sha256 in backups.items()
        }
        domain, session, self.unfinished_image = content["unfinished"]
        self.domain, self.unfinished = DomainId(domain), SessionId(session)
        self.objects = {name: bytes.fromhex(data) for name, data in content["objects"].items()}

    def opened(self, ledger: Ledger | None = None) -> Repository:
        """The repository, with a ledger that knows nothing yet, or with none."""
        store = MemoryStore()
        for name, data in self.objects.items():
            store.put(name, data)
        ledgers = {"ledger": a_ledger(ledger)} if ledger else {}
        return Repository.open(store, KeyFile(self.key), **ledgers)

    def check(self, repository: Repository) -> None:
        """Everything restores to what it was made of, over a volume that held something else."""
        for domain in repository.domains():
            listed = {(domain, root) for root in repository.roots(domain)}
            assert listed == {place for place in self.images if place[0] == domain}
        assert sorted(self.images.values()) == IMAGES
        for (domain, root), sha256 in self.images.items():
            size = repository.describe(domain, root).size
            disk = Disk(size, content=b"\xee" * size)
            repository.restore(domain, root, disk)
            assert hashlib.sha256(disk.data).hexdigest() == sha256


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored()


def test_it_holds_an_object_of_every_kind(stored: Stored) -> None:
    of_domains = {name.split("/")[2] for name in stored.objects if name.startswith("d/")}
    assert of_domains == {"key", "s", "r", "g", "c", "bad", "h"}
    others = {name.partition("/")[0] for name in stored.objects if not name.startswith("d/")}
    assert others == {"format", "key", "incarnation"}
    generations = {name.rpartition(".")[2] for name in stored.objects if "/s/" in name}
    assert len(generations) == 3
    hints = sorted(name.split("/")[3:] for name in stored.objects if "/h/" in name)
    assert sorted(map(len, hints)) == [1, 2]  # of a collection, of a session
    wrappings = [name.rpartition("/")[2] for name in stored.objects if "/key/" in name]
    assert sorted(wrappings) == ["1.1", "1.1", "1.2", "2.1"]
    assert (made.VECTORS / "repository.json").stat().st_size < 300 << 10


def test_the_repository_restores_without_a_ledger(stored: Stored) -> None:
    stored.check(stored.opened())


def test_the_repository_restores_with_a_ledger_made_from_it(stored: Stored) -> None:
    repository = stored.opened(MemoryLedger())
    settled = repository.settle()
    assert [domain.broken for domain in settled.values()] == [{}, {}]
    stored.check(repository)
    for domain in repository.domains():
        verified = repository.verify(domain, depth=3)
        assert (verified.damaged, verified.quarantined) == ((), ())
        for _ in range(2):
            repository.collect(domain)
    stored.check(repository)
    for domain, root in stored.images:
        assert repository.delete(domain, root)
    for domain in repository.domains():
        repository.collect(domain)
    left = {item.name.split("/")[2] for item in repository._store.list("d/")}
    assert left == {"key"}


def test_the_unfinished_backup_is_gone_on_with(stored: Stored) -> None:
    repository = stored.opened(MemoryLedger())
    place = PlainDomain(PlainRepository(stored.objects, stored.key), stored.domain)
    saved = place.object(f"d/{stored.domain}/c/{stored.unfinished}/2")
    data = life.live(b"").unfinished[2]
    assert hashlib.sha256(data).hexdigest() == stored.unfinished_image
    image = Image(data)
    image.change_id = life.UNFINISHED  # type: ignore[assignment]
    written = repository.write(
        image, domain=stored.domain, session=repository.new_session(), description={},
        begun=Begun(saved["base"], predecessors=(stored.unfinished,)),
        settings=life.SETTINGS,
    )  # fmt: skip
    assert saved["leaf"] == 2
    assert saved["pins"]
    assert parse_hints(base64.b64decode(saved["samples"]))
    assert written.read_bytes == len(data) - saved["leaf"] * FANOUT * life.CHUNK
    disk = Disk(len(data))
    stored_now = Repository.open(repository._store, KeyFile(stored.key))
    stored_now.restore(stored.domain, written.root, disk)
    assert disk.data == data


def test_a_reader_that_knows_only_the_specification_restores_it(stored: Stored) -> None:
    reader = PlainRepository(stored.objects, stored.key)
    restored = {}
    for domain in map(DomainId, reader.domains()):
        place = PlainDomain(reader, domain)
        for root in map(RootId, place.roots()):
            restored[domain, root] = hashlib.sha256(place.restore(root)).hexdigest()
        for name in stored.objects:
            kind = name.split("/")[2] if name.startswith(f"d/{domain}/") else ""
            if kind == "s":
                place.check_segment(name)
            if kind in ("g", "c", "bad"):
                assert place.object(name)
            if kind == "h":
                assert parse_hints(place.unsealed(name))
    assert restored == stored.images


def test_it_finds_its_way_among_generations_that_lack_records(stored: Stored) -> None:
    """A collection that was overtaken left one with none of the records."""
    reader = PlainRepository(dict(stored.objects), stored.key)
    place = PlainDomain(reader, stored.domain)
    compacted = [name for name in stored.objects if "/s/" in name and not name.endswith(".0")]
    for name in compacted:
        session, seq, generation = place.segment_of(name)
        ids = bytes.fromhex(stored.domain + session) + struct.pack(">Q", seq) + b"9-00000000"
        empty = zstandard.ZstdCompressor().compress(struct.pack("<IIH", 0, 1, 0))
        nonce = bytes(12)
        key = derive(reader.metadata_key, b"seal/footer", ids)
        sealed = nonce + AESGCM(key).encrypt(nonce, empty, None)
        end = struct.pack("<8sII", b"EMBRKEND", len(sealed), google_crc32c.value(sealed))
        stray = name.replace(f".{generation}", ".9-00000000")
        reader.objects[stray] = stored.objects[name][:64] + sealed + end  # type: ignore[index]
    for domain, root in stored.images:
        if domain == stored.domain:
            image = hashlib.sha256(place.restore(root)).hexdigest()
            assert image == stored.images[domain, root]


def test_the_repository_is_written_as_it_was_but_for_zstd(stored: Stored) -> None:
    written = made.repository()
    old = json.loads(text("repository.json"))
    objects = written.pop("objects")
    assert written == {name: old[name] for name in written}
    assert list(objects) == list(stored.objects)
    raw = layout.HEADER_SIZE + life.CHUNK + segments.OVERHEAD
    for name, data in stored.objects.items():
        again = bytes.fromhex(objects[name])
        match name.split("/")[2:3]:
            case [] | ["key"] | ["bad"] | ["g"]:
                assert again == data
            case ["s"]:
                same = raw if len(data) > life.CHUNK else layout.HEADER_SIZE
                assert again[:same] == data[:same]
            case ["r"]:
                assert again[:12] == data[:12] == b"EMBRKROO" + struct.pack("<I", 1)


def test_the_specifications_sizes() -> None:
    tib = 1 << 40
    sizes = [default_chunk_size(size) >> 10 for size in (4 * tib, 4 * tib + 1, 16 * tib + 1)]
    assert sizes == [64, 128, 256]
    assert height_for(0, samples.CHUNK) == height_for(256 * samples.CHUNK, samples.CHUNK) == 1
    assert height_for(256 * samples.CHUNK + 1, samples.CHUNK) == 2
