"""A volume of 64 TiB, almost all of it holes: memory, objects and bytes follow what was written.

The benchmark does the work in a process of its own, and compares what it restores.
"""

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import scattered

from emberkeep.engine.ids import SessionId
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.marks import Marks

MIB = 1 << 20
ALLOWED = 256 * MIB  # above what the process holds when it is idle
SEGMENT = 32 * MIB

# Bytes, from docs/format.md.
RECORD = 21  # a record's row of the footer
ID = 28  # a chunk's row of the ids record
ENDS = 64 + 12 + 10 + 16 + 16 + 17 + 4  # of a segment: header, footer, trailer, ids record
FRAMES = 2 * 64  # at most, by which the zstd frames of footer and ids can be longer than these
NODE = 17 + 1 + 2 + 32 + 16
SLOT = 24 + 22  # of a leaf, if each has a row of the segment table
CHILD = SLOT + 16  # of another node
ROOT = 4 << 10  # at most


def nodes(numbers: Collection[int], height: int) -> Counter[int]:
    """The nodes of a height above chunks of these numbers, and how many slots each has in use."""
    return Counter(child >> 8 for child in {number >> 8 * (height - 1) for number in numbers})


def map_of(volume: Collection[int], new: Collection[int]) -> tuple[int, int]:
    """How many nodes a backup writes for new chunks of a volume, and their bytes at most."""
    count = size = 0
    for height in range(1, 5):
        slots = nodes(volume, height)
        written = nodes(new, height)
        count += len(written)
        size += sum(NODE + slots[node] * (SLOT if height == 1 else CHILD) for node in written)
    return count, size


def check(rows: list[dict[str, Any]], pieces: int) -> None:
    """That a run of the benchmark wrote and read what the format's arithmetic allows."""
    first, changed = scattered.places(pieces)
    now = first | changed
    backups = ((first, first), (now, changed), (now, set[int]()))
    objects = 3  # `format`, the metadata key and the domain's key
    for done, (row, (volume, new)) in enumerate(zip(rows, backups, strict=False), 1):
        node_records, node_bytes = map_of(volume, new)
        assert row["node_records"] == node_records
        assert row["node_bytes"] <= node_bytes
        assert row["chunk_records"] == len(new)
        # The first segment takes chunks and nodes; after it each has segments of its own.
        full = row["chunk_bytes"] // SEGMENT + row["node_bytes"] // SEGMENT
        assert full <= row["segments"] <= full + 2
        records = row["chunk_records"] + row["ids_records"] + node_records
        metadata = row["written"] - row["chunk_bytes"] + row["root"]
        ends = row["segments"] * (ENDS + FRAMES)
        assert metadata <= node_bytes + RECORD * records + ID * len(new) + ends + ROOT
        objects += row["segments"] + 1
        assert objects <= row["objects"] <= objects + done  # a hint for each backup, perhaps
    assert rows[2]["segments"] == 0
    in_map, _size = map_of(now, now)
    for row in rows:
        assert 0 < row["rss"] <= ALLOWED, row["step"]
        assert row["reads"] < in_map / 4, row["step"]


def run(directory: Path, pieces: int) -> list[dict[str, Any]]:
    """The rows of a run of the benchmark."""
    arguments = ["--json", "--directory", str(directory), "--pieces", str(pieces)]
    told = subprocess.run(
        [sys.executable, scattered.__file__, *arguments], stdout=subprocess.PIPE, check=True
    )
    rows: list[dict[str, Any]] = json.loads(told.stdout)
    return rows


def test_a_volume_of_64_tib_with_few_bytes(tmp_path: Path) -> None:
    check(run(tmp_path, 512), 512)


@pytest.mark.slow
def test_a_volume_of_64_tib_with_4_gib_and_then_1_gib_of_writes(tmp_path: Path) -> None:
    rows = run(tmp_path, scattered.PIECES)
    check(rows, scattered.PIECES)
    scattered.show(rows)


def test_marks_are_a_bit_for_each_record_and_little_more() -> None:
    segments, records = 1000, 1600
    indexes, lengths = np.arange(records), np.full(records, 20_000, np.uint32)
    tracemalloc.start()
    try:
        marks = Marks()
        for seq in range(segments):
            marks.add(SegmentId(SessionId("a" * 32), seq), indexes, lengths, end=SEGMENT)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert marks.all_stored() == segments * records * 20_000
    assert segments * records / 8 < held < segments * (records / 8 + 128)
