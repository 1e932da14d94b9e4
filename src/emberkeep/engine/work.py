"""How long work is set, watched and interrupted: what writer, reader and collector share."""

import os
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How a backup or a restore is done.

    `chunk_size` (bytes, a power of two from 32 KiB to 1 MiB) is chosen by a backup without a base;
    None: by the volume's size.  `memory_budget` bounds what one backup or restore holds, in bytes.
    """

    chunk_size: int | None = None
    segment_size: int = 32 * MIB
    compression_level: int = 1
    memory_budget: int = 160 * MIB
    workers: int | None = None  # threads; None: one for each processor

    @property
    def threads(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def __post_init__(self) -> None:
        size = self.chunk_size
        if size is not None and (size & (size - 1) or not 1 << 15 <= size <= 1 << 20):
            raise ValueError(f"a chunk of {size} bytes is none of 32 KiB … 1 MiB")


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes: of the volume dealt with, of all of it, and put into the store."""

    done: int
    total: int
    stored: int


Report = Callable[[Progress], None]
# Called often from one thread; may raise anything to stop the work, of which nothing is published.
Checkpoint = Callable[[], None]


def unwatched(_progress: Progress) -> None:
    """Report nothing."""


def uninterrupted() -> None:
    """Never stop."""
