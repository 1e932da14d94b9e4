"""How long work is set, watched and interrupted: what writer, reader and collector share."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

MIB = 1 << 20
GIB = 1 << 30

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a backup or a restore is done.

    `chunk_size` (bytes, a power of two from 32 KiB to 1 MiB) is chosen by a backup without a base;
    None: by the volume's size.  `memory_budget` bounds what one backup or restore holds, in bytes.
    A backup writes a checkpoint whenever it has stored `checkpoint_bytes` or spent
    `checkpoint_seconds` since the last one.
    """

    chunk_size: int | None = None
    segment_size: int = 32 * MIB
    compression_level: int = 1
    memory_budget: int = 224 * MIB
    workers: int | None = None  # threads; None: one for each processor; 0: only the caller's
    checkpoint_bytes: int = GIB
    checkpoint_seconds: float = 300

    @property
    def threads(self) -> int:
        """How many work at once."""
        return len(os.sched_getaffinity(0)) if self.workers is None else max(1, self.workers)

    def pool(self, count: int, name: str) -> Executor:
        """Threads for one piece of work; none if all is to be done by the caller's."""
        if self.workers == 0:
            return _Caller()
        return ThreadPoolExecutor(count, thread_name_prefix=name)

    def __post_init__(self) -> None:
        size = self.chunk_size
        if size is not None and (size & (size - 1) or not 1 << 15 <= size <= 1 << 20):
            raise ValueError(f"a chunk of {size} bytes is none of 32 KiB … 1 MiB")


class _Caller(Executor):
    """Does what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes: of the volume dealt with, of all of it, and put into the store; in so many segments,
    where some are put."""

    done: int
    total: int
    stored: int
    segments: int = 0


Report = Callable[[Progress], None]
# Called often from one thread; may raise anything to stop the work, of which nothing is published.
Checkpoint = Callable[[], None]


def unwatched(_progress: Progress) -> None:
    """Report nothing."""


def uninterrupted() -> None:
    """Never stop."""
