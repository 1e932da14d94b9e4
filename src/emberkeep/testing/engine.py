"""Volumes in memory and keys without a file, for tests of the engine and of what uses it."""

from collections.abc import Callable, Iterator
from hashlib import shake_256

from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.ledger import Ledger
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.protocols import Extent
from emberkeep.stores.base import Buffer


class Image:
    """A `Source` of given bytes; ranges of `holes` are left out of its extents."""

    change_id = None

    def __init__(self, data: bytes, *, holes: tuple[Extent, ...] = ()) -> None:
        self._data = data
        self._holes = holes

    @property
    def size(self) -> int:
        return len(self._data)

    def extents(self) -> Iterator[Extent]:
        begin = 0
        for hole in self._holes:
            if hole.offset > begin:
                yield Extent(begin, hole.offset - begin)
            begin = hole.end
        if begin < self.size:
            yield Extent(begin, self.size - begin)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._data[offset : offset + len(buffer)]


class Disk:
    """A `Target` in memory: zeros, or full of what was there before."""

    def __init__(self, size: int, *, content: bytes | None = None) -> None:
        self.data = bytearray(size) if content is None else bytearray(content)
        self.reads_as_zeros = content is None
        self.flushed = False

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, offset: int, data: Buffer) -> None:
        assert offset + len(data) <= self.size
        self.data[offset : offset + len(data)] = data
        self.flushed = False

    def zero(self, offset: int, length: int) -> None:
        assert offset + length <= self.size
        self.data[offset : offset + length] = bytes(length)
        self.flushed = False

    def flush(self) -> None:
        self.flushed = True


def repeatable(seed: str) -> Callable[[int], bytes]:
    """A source of bytes for `random` that gives the same ones in every run."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return shake_256(f"{seed} {count}".encode()).digest(size)

    return draw


def a_key_manager(seed: str = "key") -> KeyFile:
    """A key manager whose key lies in memory."""
    random = repeatable(seed)
    return KeyFile(random(32), random=random)


def a_ledger(ledger: Ledger | None = None) -> Callable[[str], Ledger]:
    """What `Repository.create` and `open` want to know: the ledger, whatever the repository."""
    kept = ledger or MemoryLedger()
    return lambda _repository: kept
