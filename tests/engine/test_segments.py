"""Segments: no nonce twice, what is read back, and what opens nowhere else."""

import struct

import google_crc32c
import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emberkeep.engine import keys, layout, segments
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.keys import DomainKeys, MetadataKey
from emberkeep.engine.layout import Codec, Kind, Pointer, SegmentId
from emberkeep.engine.segments import MAX_RECORDS, OVERHEAD, SegmentBuilder, open_record
from emberkeep.engine.stored import SegmentReader
from emberkeep.stores.base import Buffer
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import repeatable

DOMAIN = DomainId("0d" * 16)
SESSION, OTHER_SESSION = SessionId("5e" * 16), SessionId("6e" * 16)
SEGMENT = SegmentId(SESSION, 3)
METADATA_KEY = MetadataKey(b"m" * 32)
DOMAIN_KEYS = DomainKeys(DOMAIN, {1: b"1" * 32, 2: b"2" * 32}, b"i" * 32)


class Interrupted(Exception):
    """Raised in the midst of an encryption."""


class OnceCipher:
    """A cipher that refuses a nonce it has seen, also one whose encryption failed."""

    def __init__(self, cipher: AESGCM, *, seen: set[bytes] | None = None) -> None:
        self.seen = set() if seen is None else seen
        self.fails = False
        self._cipher = cipher

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        self._spend(nonce)
        return self._cipher.encrypt(nonce, data, associated_data)

    def encrypt_into(
        self, nonce: bytes, data: Buffer, associated_data: bytes | None, buf: Buffer
    ) -> int:
        self._spend(nonce)
        written = self._cipher.encrypt_into(nonce, data, associated_data, buf)
        if self.fails:
            raise Interrupted
        return written

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: bytes | None) -> bytes:
        return self._cipher.decrypt(nonce, data, associated_data)

    def _spend(self, nonce: bytes) -> None:
        assert nonce not in self.seen, f"nonce {nonce.hex()} twice"
        self.seen.add(nonce)


class Segment:
    """A builder with ciphers that watch over their nonces, and a store to put it in."""

    def __init__(self, *, size: int = 1 << 20, key: int = 2, volume: str = "v") -> None:
        self.store = MemoryStore()
        self.records = OnceCipher(DOMAIN_KEYS.record_cipher(key, SESSION))
        # One set for both: no place is encrypted twice, under either key.
        self.nodes = OnceCipher(METADATA_KEY.node_cipher(DOMAIN, SESSION), seen=self.records.seen)
        self.builder = SegmentBuilder(
            DOMAIN, SEGMENT, size=size, key=key, volume=volume,
            record_cipher=self.records, node_cipher=self.nodes,
        )  # fmt: skip

    def add_chunk(self, number: int, data: bytes) -> Pointer:
        return self.builder.add_chunk(number, DOMAIN_KEYS.identify(data), Codec.RAW, data)

    def add(self, kind: Kind, data: bytes) -> Pointer:
        if kind is Kind.NODE:
            return self.builder.add_node(Codec.RAW, data)
        return self.add_chunk(1, data)

    def put(self) -> bytes:
        data = bytes(self.builder.finish(METADATA_KEY, repeatable("segment")))
        self.store.put(layout.segment_name(DOMAIN, SEGMENT), data)
        return data

    def reader(self) -> SegmentReader:
        return SegmentReader(self.store, METADATA_KEY, DOMAIN, None)

    def footer(self) -> segments.Footer:
        return self.reader().tail(SEGMENT).footer

    def ids(self) -> segments.ChunkIds:
        return self.reader().ids(self.reader().tail(SEGMENT), DOMAIN_KEYS)


def test_each_place_is_encrypted_once() -> None:
    segment = Segment()
    for number in range(20):
        segment.add_chunk(number, b"chunk %d" % number)
        segment.builder.add_node(Codec.RAW, b"node")
    segment.put()
    assert segment.records.seen == {struct.pack(">QI", 3, index) for index in range(41)}


@pytest.mark.parametrize("kind", [Kind.CHUNK, Kind.NODE])
def test_a_place_is_spent_even_if_its_encryption_fails(kind: Kind) -> None:
    segment = Segment()
    segment.add_chunk(0, b"before")
    failing = segment.records if kind is Kind.CHUNK else segment.nodes
    failing.fails = True
    for _attempt in range(2):
        with pytest.raises(Interrupted):
            segment.add(kind, b"interrupted")
    failing.fails = False
    after = segment.add_chunk(1, b"after")
    assert after.index == 3
    assert after.offset == 64 + len(b"before") + 2 * len(b"interrupted") + 3 * OVERHEAD
    data = segment.put()
    stored = data[after.offset : after.offset + after.length]
    assert read(segment.records, after, stored) == b"after"
    assert list(segment.ids().indexes) == [0, 3]


def test_two_segments_of_a_session_share_no_nonce() -> None:
    assert len({keys.record_nonce(seq, index) for seq in range(50) for index in range(50)}) == 2500
    assert keys.record_nonce(2**32 - 1, MAX_RECORDS) != keys.record_nonce(2**32, MAX_RECORDS)


def test_a_segment_is_full_by_its_size() -> None:
    segment = Segment(size=1000)
    assert segment.builder.empty
    assert not segment.builder.full
    segment.add_chunk(0, bytes(1000 - 64 - OVERHEAD - 1))
    assert not segment.builder.full
    assert not segment.builder.empty
    segment.builder.add_node(Codec.RAW, b"")
    assert segment.builder.full
    assert segment.builder.stored == 999 + OVERHEAD


def test_a_segment_is_full_by_its_records_and_its_long_footer_is_read() -> None:
    segment = Segment(size=1 << 25)
    count = 0
    while not segment.builder.full:
        segment.add_chunk(count * 3, b"%d" % count)
        count += 1
    assert count == MAX_RECORDS - 1  # the ids record is the last
    data = segment.put()
    assert layout.trailer_length(data) > segments.SUFFIX
    assert len(segment.footer().records) == MAX_RECORDS
    ids = segment.ids()
    assert ids.of(count - 1) == DOMAIN_KEYS.identify(b"%d" % (count - 1))
    assert ids.numbers[-1] == 3 * (count - 1)


def test_a_record_larger_than_all_that_was_set_aside_is_stored() -> None:
    segment = Segment(size=100)
    content = repeatable("large")(5 << 20)
    pointer = segment.add_chunk(0, content)
    data = segment.put()
    stored = data[pointer.offset : pointer.offset + pointer.length]
    assert read(segment.records, pointer, stored, limit=len(content)) == content


def test_the_footer_and_the_ids_are_read_back() -> None:
    segment = Segment(volume="том-1")
    first = segment.add_chunk(7, b"first")
    node = segment.builder.add_node(Codec.RAW, b"a node")
    second = segment.add_chunk(2**40, b"second")
    data = segment.put()
    footer = segment.footer()
    assert (footer.volume, footer.key) == ("том-1", 2)
    assert list(footer.records["index"]) == [0, 1, 2, 3]
    assert list(footer.records["kind"]) == [Kind.CHUNK, Kind.NODE, Kind.CHUNK, Kind.IDS]
    for pointer in (first, node, second):
        row = footer.records[pointer.index]
        assert (row["offset"], row["length"]) == (pointer.offset, pointer.length)
    for row in footer.records:
        stored = data[row["offset"] : row["offset"] + row["length"]]
        assert google_crc32c.value(stored) == row["crc"]
    ids = segment.ids()
    assert list(ids.indexes) == [0, 2]
    assert list(ids.numbers) == [7, 2**40]
    assert ids.of(0) == DOMAIN_KEYS.identify(b"first")
    assert ids.of(2) == DOMAIN_KEYS.identify(b"second")
    assert ids.of(1) is ids.of(3) is None
    assert segment.builder.segment == SEGMENT


def test_a_segment_of_nodes_alone_has_no_ids() -> None:
    segment = Segment()
    segment.builder.add_node(Codec.RAW, b"a node")
    segment.put()
    assert list(segment.footer().records["kind"]) == [Kind.NODE]
    with pytest.raises(DamagedObject, match="no ids record"):
        segment.ids()


def test_the_header_says_whose_segment_it_is() -> None:
    segment = Segment()
    segment.add_chunk(0, b"chunk")
    data = segment.put()
    assert layout.HEADER_SIZE == 64
    assert struct.unpack_from("<8sI16s16sI", data) == (
        b"EMBRKSEG", 1, bytes.fromhex(DOMAIN), bytes.fromhex(SESSION), 3,
    )  # fmt: skip
    assert data[48:64] == bytes(16)


@pytest.mark.parametrize("kept", [0, 15, 16, 40, -1])
def test_a_cut_segment_is_noticed(kept: int) -> None:
    segment = Segment()
    segment.add_chunk(0, b"chunk")
    data = segment.put()
    store = MemoryStore()
    store.put(layout.segment_name(DOMAIN, SEGMENT), data[:kept])
    with pytest.raises(DamagedObject):
        SegmentReader(store, METADATA_KEY, DOMAIN, None).tail(SEGMENT)


def test_a_trailer_without_its_footer_is_noticed() -> None:
    segment = Segment()
    segment.add_chunk(0, b"chunk")
    data = segment.put()
    store = MemoryStore()
    store.put(layout.segment_name(DOMAIN, SEGMENT), data[-30:])
    with pytest.raises(DamagedObject, match="cut off"):
        SegmentReader(store, METADATA_KEY, DOMAIN, None).tail(SEGMENT)


@pytest.mark.parametrize(
    "other", [SegmentId(SESSION, 4), SegmentId(OTHER_SESSION, 3)], ids=["seq", "session"]
)
def test_a_segment_under_anothers_name_is_noticed(other: SegmentId) -> None:
    segment = Segment()
    segment.add_chunk(0, b"chunk")
    segment.store.put(layout.segment_name(DOMAIN, other), segment.put())
    with pytest.raises(DamagedObject, match="can't be authenticated"):
        segment.reader().tail(other)


def read(
    cipher: keys.Cipher,
    place: Pointer,
    stored: bytes,
    *,
    kind: Kind = Kind.CHUNK,
    limit: int = 100,
) -> bytes:
    return open_record(cipher, kind, place, stored, limit=limit, name="it")


def test_a_record_opens_in_its_own_place_only() -> None:
    segment = Segment()
    pointer = segment.add_chunk(0, b"some content")
    twin = segment.add_chunk(1, b"some content")
    data = segment.put()
    stored = data[pointer.offset : pointer.offset + pointer.length]
    assert stored != data[twin.offset : twin.offset + twin.length]
    length = pointer.length

    def cipher(key: int = 2, session: SessionId = SESSION, domain: DomainId = DOMAIN) -> AESGCM:
        return DomainKeys(domain, DOMAIN_KEYS.data, b"i" * 32).record_cipher(key, session)

    assert read(cipher(), pointer, stored) == b"some content"
    elsewhere = Pointer(SegmentId(SESSION, 4), 2, 0, 64, length)
    refused = [
        (cipher(), elsewhere, stored, Kind.CHUNK),
        (cipher(), twin, stored, Kind.CHUNK),
        (cipher(), pointer, stored, Kind.IDS),
        (cipher(), pointer, stored, Kind.NODE),
        (cipher(), pointer, bytes((Codec.ZSTD,)) + stored[1:], Kind.CHUNK),
        (cipher(), pointer, b"\x02" + stored[1:], Kind.CHUNK),
        (cipher(key=1), pointer, stored, Kind.CHUNK),
        (cipher(session=OTHER_SESSION), pointer, stored, Kind.CHUNK),
        (cipher(domain=DomainId("0e" * 16)), pointer, stored, Kind.CHUNK),
        (METADATA_KEY.node_cipher(DOMAIN, SESSION), pointer, stored, Kind.NODE),
    ]
    for other, place, found, kind in refused:
        with pytest.raises(DamagedObject, match=f"it: record {place.index} can't be authent"):
            read(other, place, found, kind=kind)


@pytest.mark.parametrize("stored", [b"", b"\0", bytes(OVERHEAD - 1), bytes(OVERHEAD + 1)])
def test_a_record_of_another_length_is_cut_off(stored: bytes) -> None:
    place = Pointer(SEGMENT, 2, 0, 64, OVERHEAD)
    with pytest.raises(DamagedObject, match="it: record 0 is cut off"):
        read(DOMAIN_KEYS.record_cipher(2, SESSION), place, stored)


def sealed(codec: int, content: bytes) -> tuple[Pointer, bytes]:
    """A record that is authentic, whatever its codec and content."""
    cipher = DOMAIN_KEYS.record_cipher(2, SESSION)
    nonce, bound = keys.record_nonce(3, 0), bytes((Kind.CHUNK, codec))
    stored = bytes((codec,)) + cipher.encrypt(nonce, content, bound)
    return Pointer(SEGMENT, 2, 0, 64, len(stored)), stored


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(DamagedObject, match="codec 9, which is unknown"):
        read(DOMAIN_KEYS.record_cipher(2, SESSION), *sealed(9, b"content"))


def test_what_decompresses_to_more_than_it_may_is_refused() -> None:
    cipher = DOMAIN_KEYS.record_cipher(2, SESSION)
    record = sealed(Codec.ZSTD, zstandard.ZstdCompressor().compress(bytes(1000)))
    assert read(cipher, *record, limit=1000) == bytes(1000)
    with pytest.raises(DamagedObject, match="larger than it may be"):
        read(cipher, *record, limit=999)
    sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(DamagedObject, match="decompress"):
        read(cipher, *sealed(Codec.ZSTD, sizeless), limit=999)
    with pytest.raises(DamagedObject, match="decompress"):
        read(cipher, *sealed(Codec.ZSTD, b"no frame"))


def test_a_name_is_parsed_as_it_was_made() -> None:
    name = layout.segment_name(DOMAIN, SEGMENT)
    assert name == f"d/{DOMAIN}/s/5e/{SESSION}/00000003.0"
    assert layout.parse_segment_name(name) == (SEGMENT, "0")
    for other in (f"d/{DOMAIN}/s/5e/{SESSION}/3.0", f"d/{DOMAIN}/r/{SESSION}", "format"):
        with pytest.raises(ValueError, match=r"."):
            layout.parse_segment_name(other)
