"""Segments: many encrypted records in one object, with a footer that says where they are.

    header (64 bytes) · records · ids record (if there are chunks) · sealed footer · trailer

Invariants
* each (session, seq, index) is encrypted once: a segment has one builder, and an index is spent
  before the cipher is called, even if that call fails;
* a record opens only in its own place: the nonce is its place, the key its session's.
"""

import struct
import threading
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zstandard
from cryptography.exceptions import InvalidTag

from emberkeep.engine import keys, layout
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import DomainId
from emberkeep.engine.keys import Cipher, MetadataKey, Random
from emberkeep.engine.layout import Codec, Kind, Pointer, SegmentId
from emberkeep.stores.base import Buffer

MAX_RECORDS = 65_536
OVERHEAD = 1 + keys.TAG_SIZE  # bytes of a record beside its content
SUFFIX = 64 << 10  # bytes at the end of a segment that are read first
ROOM = 2 << 20  # bytes by which the buffer of an open segment grows

_FOOTER = struct.Struct("<IIH")  # records, data key, length of the volume's id
_IDS = struct.Struct("<I")
FOOTER_COLUMNS = np.dtype(
    [("index", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("kind", "u1"), ("crc", "<u4")]
)
_threads = threading.local()


def shrink(data: Buffer, compressor: zstandard.ZstdCompressor) -> tuple[Codec, bytes]:
    """Compress; what saves less than a sixteenth stays as it is."""
    smaller = compressor.compress(data)
    if len(smaller) > len(data) - len(data) // 16:
        return Codec.RAW, bytes(data)
    return Codec.ZSTD, smaller


def open_record(
    cipher: Cipher, kind: Kind, pointer: Pointer, stored: Buffer, *, limit: int, name: str
) -> bytes:
    """Authenticate, decrypt and decompress one record of at most `limit` bytes.

    Raises `DamagedObject`, naming the object and the record.
    """
    where = f"{name}: record {pointer.index}"
    if len(stored) != pointer.length or len(stored) < OVERHEAD:
        raise DamagedObject(f"{where} is cut off")
    codec = stored[0]
    nonce = keys.record_nonce(pointer.segment.seq, pointer.index)
    try:
        data = cipher.decrypt(nonce, stored[1:], bytes((kind, codec)))
    except (InvalidTag, ValueError) as error:
        raise DamagedObject(f"{where} can't be authenticated; it is damaged") from error
    match codec:
        case Codec.RAW:
            return data
        case Codec.ZSTD:
            return _decompressed(data, limit, where)
        case _:
            raise DamagedObject(f"{where} has codec {codec}, which is unknown here")


def _decompressed(data: bytes, limit: int, where: str) -> bytes:
    try:
        if zstandard.frame_content_size(data) > limit:
            raise DamagedObject(f"{where} is larger than it may be")
        decompressor = _threads.__dict__.setdefault("zstd", zstandard.ZstdDecompressor())
        plain: bytes = decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise DamagedObject(f"{where} can't be decompressed") from error
    return plain


@dataclass(frozen=True, slots=True)
class Footer:
    """What a segment says of itself."""

    volume: str
    key: int  # the number of the data key of its chunks and ids
    records: npt.NDArray[Any]  # of FOOTER_COLUMNS, ascending by index

    def find(self, index: int) -> Any | None:
        """The row of a record; None if the segment has not got it (any more)."""
        place = int(np.searchsorted(self.records["index"], index))
        if place == len(self.records) or self.records["index"][place] != index:
            return None
        return self.records[place]

    def encode(self) -> bytes:
        volume = self.volume.encode()
        head = _FOOTER.pack(len(self.records), self.key, len(volume)) + volume
        columns = b"".join(self.records[name].tobytes() for name in FOOTER_COLUMNS.names or ())
        return zstandard.ZstdCompressor(level=3).compress(head + columns)

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Footer":
        """Raises `DamagedObject`, naming the segment `name`."""
        plain = _decompressed(data, 1 << 24, f"{name}: footer")
        try:
            count, key, length = _FOOTER.unpack_from(plain)
            start = _FOOTER.size + length
            if len(plain) != start + FOOTER_COLUMNS.itemsize * count:
                raise ValueError("wrong length")
            records = np.empty(count, FOOTER_COLUMNS)
            for column in FOOTER_COLUMNS.names or ():
                kind = FOOTER_COLUMNS[column]
                records[column] = np.frombuffer(plain, kind, count, start)
                start += kind.itemsize * count
            return cls(plain[_FOOTER.size : _FOOTER.size + length].decode(), key, records)
        except MALFORMED as error:
            raise DamagedObject(f"{name}: its footer is none") from error


def sealed_end(
    footer: Footer,
    metadata_key: MetadataKey,
    domain: DomainId,
    segment: SegmentId,
    generation: str,
    random: Random,
) -> bytes:
    """What follows the last record of a generation: the sealed footer and the trailer."""
    key = metadata_key.footer_key(domain, segment.session, segment.seq, generation)
    sealed = keys.seal(key, footer.encode(), random)
    return sealed + layout.trailer(sealed)


class SegmentBuilder:
    """One segment as it grows in memory.  Used by one thread."""

    def __init__(
        self,
        domain: DomainId,
        segment: SegmentId,
        *,
        size: int,
        key: int,
        volume: str,
        record_cipher: Cipher,
        node_cipher: Cipher,
    ) -> None:
        """`size`: bytes of records after which it is full."""
        self.segment = segment
        self._domain = domain
        self._size = size
        self._key = key
        self._volume = volume
        self._record_cipher = record_cipher
        self._node_cipher = node_cipher
        self._buffer = bytearray(ROOM)
        self._buffer[: layout.HEADER_SIZE] = layout.segment_header(domain, segment)
        self._end = layout.HEADER_SIZE
        self._records: list[tuple[int, int, int, int, int]] = []
        self._chunks: list[tuple[int, int, bytes]] = []

    @property
    def full(self) -> bool:
        return self._end >= self._size or len(self._records) >= MAX_RECORDS - 1

    @property
    def empty(self) -> bool:
        return not self._records

    @property
    def stored(self) -> int:
        """Bytes so far."""
        return self._end

    def add_chunk(self, number: int, chunk_id: bytes, codec: Codec, data: Buffer) -> Pointer:
        """Append the volume's `number`-th chunk."""
        pointer = self._add(self._record_cipher, Kind.CHUNK, codec, data)
        self._chunks.append((pointer.index, number, chunk_id))
        return pointer

    def add_node(self, codec: Codec, data: Buffer) -> Pointer:
        """Append a node of the block map."""
        return self._add(self._node_cipher, Kind.NODE, codec, data)

    def finish(self, metadata_key: MetadataKey, random: Random) -> bytearray:
        """End the segment; returns its bytes, to be put under its name of generation 0."""
        if self._chunks:
            ids = encode_ids(self._chunks)
            codec, data = shrink(ids, zstandard.ZstdCompressor(level=1))
            self._add(self._record_cipher, Kind.IDS, codec, data)
        records = np.array(self._records, FOOTER_COLUMNS)
        footer = Footer(self._volume, self._key, records)
        del self._buffer[self._end :]
        self._buffer += sealed_end(footer, metadata_key, self._domain, self.segment, "0", random)
        return self._buffer

    def _add(self, cipher: Cipher, kind: Kind, codec: Codec, data: Buffer) -> Pointer:
        index, offset, length = len(self._records), self._end, len(data) + OVERHEAD
        self._end += length
        self._records.append((index, offset, length, kind, 0))  # spent, whatever follows
        if self._end > len(self._buffer):
            self._buffer += bytes(max(self._end - len(self._buffer), ROOM))
        with memoryview(self._buffer) as view, view[offset : self._end] as place:
            place[0] = codec
            nonce = keys.record_nonce(self.segment.seq, index)
            cipher.encrypt_into(nonce, data, bytes((kind, codec)), place[1:])
            checksum = google_crc32c.value(bytes(place))
        self._records[index] = (index, offset, length, kind, checksum)
        return Pointer(self.segment, self._key, index, offset, length)


def encode_ids(chunks: list[tuple[int, int, bytes]]) -> bytes:
    indexes, numbers, ids = zip(*chunks, strict=True)
    return b"".join(
        (
            _IDS.pack(len(chunks)),
            np.array(indexes, "<u4").tobytes(),
            np.array(numbers, "<u8").tobytes(),
            b"".join(ids),
        )
    )


@dataclass(frozen=True, slots=True)
class ChunkIds:
    """The ids of a segment's chunks, by their index."""

    indexes: npt.NDArray[np.uint32]  # ascending
    numbers: npt.NDArray[np.uint64]
    ids: npt.NDArray[np.uint8]  # of shape (n, 16)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.indexes.nbytes + self.numbers.nbytes + self.ids.nbytes

    def of(self, index: int) -> bytes | None:
        """The id of the chunk at `index`."""
        place = int(np.searchsorted(self.indexes, index))
        if place == len(self.indexes) or self.indexes[place] != index:
            return None
        return bytes(self.ids[place])

    @classmethod
    def decode(cls, plain: bytes, name: str) -> "ChunkIds":
        """Raises `DamagedObject`, naming the segment `name`."""
        try:
            (count,) = _IDS.unpack_from(plain)
            start = _IDS.size
            if len(plain) != start + 28 * count:
                raise ValueError("wrong length")
            indexes = np.frombuffer(plain, "<u4", count, start)
            numbers = np.frombuffer(plain, "<u8", count, start + 4 * count)
            ids = np.frombuffer(plain, "u1", 16 * count, start + 12 * count).reshape(count, 16)
        except MALFORMED as error:
            raise DamagedObject(f"{name}: its ids record is none") from error
        return cls(indexes, numbers, ids)
