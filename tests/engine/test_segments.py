"""Segments keep what their module promises."""

from collections.abc import Callable

import pytest

from emberkeep.engine import layout, segments
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.keys import Cipher, DomainKeys, MetadataKey
from emberkeep.engine.layout import Codec, Kind, Pointer, SegmentId
from emberkeep.engine.segments import SegmentBuilder
from emberkeep.stores.base import Buffer
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import repeatable

DOMAIN = DomainId("d" * 32)
SEGMENT = SegmentId(SessionId("5" * 32), 7)
METADATA = MetadataKey(b"m" * 32)
DATA = DomainKeys(DOMAIN, {1: b"1" * 32, 2: b"2" * 32}, b"i" * 32)


class Counting:
    """A cipher that refuses to use a nonce twice, and fails when it is told to."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self.used: set[bytes] = set()
        self.fails = False

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        raise AssertionError("records are encrypted in place")

    def encrypt_into(
        self, nonce: bytes, data: Buffer, associated_data: bytes | None, buf: Buffer
    ) -> int:
        assert nonce not in self.used, "a nonce was used twice"
        self.used.add(nonce)
        if self.fails:
            raise MemoryError
        return self._cipher.encrypt_into(nonce, data, associated_data, buf)

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: bytes | None) -> bytes:
        return self._cipher.decrypt(nonce, data, associated_data)


def a_builder(size: int = 1 << 20, wrap: Callable[[Cipher], Cipher] = Counting) -> SegmentBuilder:
    return SegmentBuilder(
        DOMAIN,
        SEGMENT,
        size=size,
        key=1,
        volume="v",
        record_cipher=wrap(DATA.record_cipher(1, SEGMENT.session)),
        node_cipher=wrap(METADATA.node_cipher(DOMAIN, SEGMENT.session)),
    )


def stored(builder: SegmentBuilder) -> MemoryStore:
    store = MemoryStore()
    name = layout.segment_name(DOMAIN, SEGMENT)
    store.put(name, builder.finish(METADATA, repeatable("footer")))
    return store


def opened(store: MemoryStore, place: Pointer, kind: Kind, *, at: Pointer | None = None) -> bytes:
    """Open the record's bytes as the one at `at`."""
    name = layout.segment_name(DOMAIN, SEGMENT)
    data = store.get(name, offset=place.offset, length=place.length)
    at = at or place
    cipher: Cipher = DATA.record_cipher(at.key, at.segment.session)
    if kind is Kind.NODE:
        cipher = METADATA.node_cipher(DOMAIN, at.segment.session)
    return segments.open_record(cipher, kind, at, data, limit=1 << 20, name=name)


def test_each_session_seq_and_index_is_encrypted_once() -> None:
    builder = a_builder()
    places = [builder.add_chunk(n, bytes(16), Codec.RAW, b"x" * 100) for n in range(50)]
    places += [builder.add_node(Codec.RAW, b"node") for _ in range(50)]
    stored(builder)
    assert [place.index for place in places] == list(range(100))


def test_an_index_is_spent_even_if_the_encryption_fails() -> None:
    ciphers: list[Counting] = []

    def counted(cipher: Cipher) -> Cipher:
        ciphers.append(Counting(cipher))
        return ciphers[-1]

    builder = a_builder(wrap=counted)
    ciphers[0].fails = True
    with pytest.raises(MemoryError):
        builder.add_chunk(0, bytes(16), Codec.RAW, b"lost")
    ciphers[0].fails = False
    assert builder.add_chunk(0, bytes(16), Codec.RAW, b"again").index == 1


def test_a_record_opens_only_in_its_own_place() -> None:
    builder = a_builder()
    place = builder.add_chunk(0, bytes(16), Codec.RAW, b"the bytes")
    other = builder.add_chunk(1, bytes(16), Codec.RAW, b"more bytes")
    store = stored(builder)
    assert opened(store, place, Kind.CHUNK) == b"the bytes"
    elsewhere = [
        Pointer(SEGMENT, 1, other.index, place.offset, place.length),
        Pointer(SEGMENT, 2, place.index, place.offset, place.length),
        Pointer(SegmentId(SEGMENT.session, 8), 1, place.index, place.offset, place.length),
        Pointer(SegmentId(SessionId("6" * 32), 7), 1, place.index, place.offset, place.length),
    ]
    for at in elsewhere:
        with pytest.raises(DamagedObject, match="can't be authenticated"):
            opened(store, place, Kind.CHUNK, at=at)
    for kind in (Kind.IDS, Kind.NODE):
        with pytest.raises(DamagedObject, match="can't be authenticated"):
            opened(store, place, kind)


def test_the_codec_is_authenticated() -> None:
    builder = a_builder()
    place = builder.add_chunk(0, bytes(16), Codec.RAW, b"the bytes")
    name = layout.segment_name(DOMAIN, SEGMENT)
    data = bytearray(stored(builder).get(name, offset=place.offset, length=place.length))
    data[0] = Codec.ZSTD
    cipher = DATA.record_cipher(1, SEGMENT.session)
    with pytest.raises(DamagedObject):
        segments.open_record(cipher, Kind.CHUNK, place, data, limit=1 << 20, name=name)


def test_footer_and_ids_are_read_back() -> None:
    builder = a_builder()
    ids = [bytes([n]) * 16 for n in range(10)]
    for number, chunk_id in enumerate(ids):
        builder.add_chunk(number * 3, chunk_id, Codec.RAW, bytes(100))
    node = builder.add_node(Codec.RAW, b"node")
    store = stored(builder)
    footer = segments.read_footer(store, METADATA, DOMAIN, SEGMENT)
    assert (footer.volume, footer.key, len(footer.records)) == ("v", 1, 12)
    assert list(footer.records["index"]) == list(range(12))
    found = segments.read_ids(store, METADATA, DATA, SEGMENT)
    assert [found.of(index) for index in range(10)] == ids
    assert list(found.numbers) == [number * 3 for number in range(10)]
    assert found.of(node.index) is None


def test_the_footer_may_be_larger_than_the_first_read() -> None:
    builder = a_builder()
    noise = repeatable("ids")
    for number in range(6000):
        builder.add_chunk(number, noise(16), Codec.RAW, b"x")
    store = stored(builder)
    assert len(segments.read_footer(store, METADATA, DOMAIN, SEGMENT).records) == 6001
    assert len(segments.read_ids(store, METADATA, DATA, SEGMENT).ids) == 6000


def test_a_segment_without_chunks_has_no_ids() -> None:
    builder = a_builder()
    builder.add_node(Codec.RAW, b"node")
    with pytest.raises(DamagedObject, match="no ids record"):
        segments.read_ids(stored(builder), METADATA, DATA, SEGMENT)


def test_a_segment_is_full_by_its_bytes_or_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = a_builder(size=1000)
    assert not builder.full
    builder.add_chunk(0, bytes(16), Codec.RAW, bytes(1000))
    assert builder.full
    monkeypatch.setattr(segments, "MAX_RECORDS", 4)
    builder = a_builder()
    for number in range(3):
        assert not builder.full
        builder.add_chunk(number, bytes(16), Codec.RAW, b"x")
    assert builder.full  # one place is kept for the ids record


def test_a_record_larger_than_the_segment_still_fits() -> None:
    builder = a_builder(size=100)
    place = builder.add_chunk(0, bytes(16), Codec.RAW, bytes(5 << 20))
    store = stored(builder)
    name = layout.segment_name(DOMAIN, SEGMENT)
    data = store.get(name, offset=place.offset, length=place.length)
    cipher = DATA.record_cipher(1, SEGMENT.session)
    plain = segments.open_record(cipher, Kind.CHUNK, place, data, limit=5 << 20, name=name)
    assert plain == bytes(5 << 20)
