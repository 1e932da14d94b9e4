"""Volumes that are large, nearly empty, and quickly read and compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from emberkeep.engine.protocols import Extent
from emberkeep.stores.base import Buffer

CHUNK = 32 << 10
CONTENTS = 60  # different chunks
ZEROS = 0  # a content that was written, but is zeros
LEAF = 256  # chunks


def _content(number: int) -> bytes:
    if number == ZEROS:
        return bytes(CHUNK)
    head = Random(number).randbytes(40 + number * 7 % 120)
    return head + bytes(CHUNK - len(head))


_CONTENT = [_content(number) for number in range(CONTENTS)]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A `Source`.  `chunks`: the content, by number, of each chunk that is not zero."""

    size: int
    chunks: dict[int, int]
    change_id: str | None

    def extents(self) -> Iterator[Extent]:
        for number in sorted(self.chunks):
            yield Extent(number * CHUNK, min(CHUNK, self.size - number * CHUNK))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        first = offset // CHUNK
        for start in range(0, len(buffer), CHUNK):
            content = self.chunks.get(first + start // CHUNK)
            part = buffer[start : start + CHUNK]
            part[:] = bytes(len(part)) if content is None else _CONTENT[content][: len(part)]


@dataclass(slots=True)
class Restored:
    """A `Target` of zeros."""

    size: int
    reads_as_zeros: bool = True
    chunks: dict[int, bytes] = field(default_factory=dict)

    def write(self, offset: int, data: Buffer) -> None:
        assert offset % CHUNK == 0
        assert offset + len(data) <= self.size
        self.chunks[offset // CHUNK] = bytes(data)

    def zero(self, offset: int, length: int) -> None:
        raise AssertionError("it is zero")

    def flush(self) -> None:
        pass

    def equals(self, snapshot: Snapshot) -> bool:
        return self.size == snapshot.size and self.chunks == {
            number: _CONTENT[content][: snapshot.size - number * CHUNK]
            for number, content in snapshot.chunks.items()
            if content != ZEROS
        }


class Volume:
    """A volume that changes between its snapshots."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self._random = random
        self._snapshots = 0
        # One leaf, or a tree; with a chunk at its end that is not whole.
        self._size = random.choice((8 * CHUNK, LEAF * CHUNK - 9, 3 * LEAF * CHUNK - 9))
        self._chunks: dict[int, int] = {}
        for _ in range(random.choice((0, 3, 8, 8))):
            self._write()

    def snapshot(self) -> Snapshot:
        """The volume as it is now."""
        self._snapshots += 1
        return Snapshot(self._size, dict(self._chunks), f"{self.name}@{self._snapshots}")

    def change(self) -> None:
        """Write here and there."""
        for _ in range(self._random.choice((0, 1, 1, 2, 8))):
            self._write()
        if self._random.random() < 0.1:
            self._size = self._random.choice((8 * CHUNK, 2 * LEAF * CHUNK, 3 * LEAF * CHUNK - 9))
            self._chunks = {n: c for n, c in self._chunks.items() if n * CHUNK < self._size}

    def _write(self) -> None:
        end = -(-self._size // CHUNK)
        leaf = self._random.randrange(-(-end // LEAF))
        first = min(leaf * LEAF + self._random.choice((0, 1, 2, 3, 4, 5, LEAF - 1)), end - 1)
        for number in range(first, min(first + self._random.choice((1, 1, 4)), end)):
            if self._random.random() < 0.1:
                self._chunks.pop(number, None)
            else:
                self._chunks[number] = self._random.randrange(CONTENTS)
