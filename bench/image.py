"""An image of real bytes for the benchmarks: the files of this Python, again and again.

Each round of the files has its bytes exchanged by another permutation, so that no two rounds are
alike while each compresses as the files do.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = 1 << 20


def write(path: Path, *, size: int, data: int) -> None:
    """Write an image of `size` bytes, the first `data` of them real, the rest a hole."""
    with path.open("wb") as file:
        blocks = _blocks(random.Random(1))
        for _ in range(0, data, BLOCK):
            file.write(next(blocks))
        file.truncate(size)


def change(path: Path, *, share: float, chunk: int) -> None:
    """Overwrite `share` of the image's first bytes, in runs of `chunk` bytes at random places."""
    dice = random.Random(2)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for place in dice.sample(range(size // chunk), int(size * share / chunk)):
            file.seek(place * chunk)
            file.write(dice.randbytes(chunk // 4) + bytes(range(256)) * (chunk * 3 // 4 // 256))


def _blocks(dice: random.Random) -> Iterator[bytes]:
    files = [path for path in sorted(Path(sys.prefix).rglob("*")) if path.is_file()]
    pending = bytearray()
    while True:
        table = bytearray(range(256))
        dice.shuffle(table)
        for path in files:
            pending += path.read_bytes().translate(bytes(table))
            while len(pending) >= BLOCK:
                yield bytes(pending[:BLOCK])
                del pending[:BLOCK]
