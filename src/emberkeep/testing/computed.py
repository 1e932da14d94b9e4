"""Volumes of any size whose bytes are computed when they are read, and compared when restored."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator

from emberkeep.engine.protocols import Extent
from emberkeep.stores.base import Buffer


class Computed:
    """A `Source`: holes, but for the pieces that it is told of.

    `piece`: the bytes of the piece of a number; number n lies at n times `piece_size`.
    """

    change_id = None

    def __init__(
        self, size: int, numbers: Collection[int], piece: Callable[[int], bytes], *, piece_size: int
    ) -> None:
        self.size = size
        self.numbers = sorted(numbers)
        self.piece = piece
        self.piece_size = piece_size

    def extents(self) -> Iterator[Extent]:
        return (Extent(number * self.piece_size, self.piece_size) for number in self.numbers)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        for begin in range(0, len(buffer), self.piece_size):
            number = (offset + begin) // self.piece_size
            buffer[begin : begin + self.piece_size] = self.piece(number)


class Compared:
    """A `Target` that keeps no bytes; each write must be a piece of the source, each once.

    Raises `AssertionError` if it is not, or if `flush` comes before all is as the source has it.
    """

    def __init__(self, source: Computed, *, reads_as_zeros: bool) -> None:
        self.size = source.size
        self.reads_as_zeros = reads_as_zeros
        self._source = source
        self._left = set(source.numbers)
        self._zeroed = self._zeroed_until = 0
        self._lock = threading.Lock()

    def write(self, offset: int, data: Buffer) -> None:
        number, rest = divmod(offset, self._source.piece_size)
        if rest or data != self._source.piece(number):
            raise AssertionError(f"wrong bytes at {offset}")
        with self._lock:
            self._left.remove(number)

    def zero(self, offset: int, length: int) -> None:
        end, numbers, size = offset + length, self._source.numbers, self._source.piece_size
        first, last = bisect_left(numbers, offset // size), bisect_left(numbers, end // size)
        if first != last or offset < self._zeroed_until:
            raise AssertionError(f"zeros over other bytes from {offset} on")
        self._zeroed += length
        self._zeroed_until = end

    def flush(self) -> None:
        holes = self.size - len(self._source.numbers) * self._source.piece_size
        if self._left or self._zeroed != (0 if self.reads_as_zeros else holes):
            raise AssertionError("not all of the source was written")
