"""Files as the engine reads and writes them."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from emberkeep.engine.errors import SourceError, TargetError
from emberkeep.engine.protocols import Extent
from emberkeep.volumes.drivers import blocks, streams
from emberkeep.volumes.drivers.streams import FileSource, FileTarget, settled

MIB = 1 << 20


def an_image(path: Path, *, size: int = 8 * MIB, data: bytes = b"\x07" * MIB) -> Path:
    """A sparse file with data at its third MiB."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(2 * MIB)
        file.write(data)
    return path


@pytest.mark.parametrize(
    ("stamp", "now", "waits"),
    [
        (5_000_000_000, 5_000_000_000, True),  # whole seconds: two of them may look the same
        (5_000_000_000, 6_999_000_000, True),
        (5_000_000_000, 7_000_000_001, False),
        (5_000_000_007, 5_000_000_007, True),  # the clock's tick of the last write
        (5_000_000_007, 5_004_000_007, False),
        (5_000_000_007, 4_000_000_000, False),  # from the future: a write would bring it back
    ],
)
def test_stamps_are_read_when_the_tick_of_the_last_write_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamp: int, now: int, waits: bool
) -> None:
    clock = [now]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += round(seconds * 1_000_000_000)

    monkeypatch.setattr(streams, "stamps", lambda _descriptor: (1, stamp, stamp))
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _clock: clock[0])
    assert settled(0, sleep=sleep) == (1, stamp, stamp)
    assert bool(slept) == waits
    assert sum(slept) < 2.1
    if waits:
        assert clock[0] > stamp


def test_a_file_stamped_just_now_is_waited_for_until_a_later_write_would_show(
    tmp_path: Path,
) -> None:
    for n in range(50):
        path = tmp_path / str(n)
        path.write_bytes(b"1")
        with path.open("r+b") as file:
            before = settled(file.fileno())
            file.write(b"2")
            file.flush()
            found = os.fstat(file.fileno())
        assert (found.st_size, found.st_mtime_ns, found.st_ctime_ns) != before


def test_reading_beyond_the_end_is_an_error_and_never_short(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with contextlib.closing(FileSource(path)) as source:
        with pytest.raises(SourceError, match="became shorter"):
            source.read_into(1, memoryview(bytearray(3)))
        buffer = bytearray(2)
        source.read_into(1, memoryview(buffer))
        assert buffer == b"bc"


def test_a_file_system_that_tells_no_holes_has_one_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = an_image(tmp_path / "image")
    lseek = os.lseek

    def without_holes(descriptor: int, position: int, how: int) -> int:
        if how in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(22, "Invalid argument")
        return lseek(descriptor, position, how)

    monkeypatch.setattr(os, "lseek", without_holes)
    with contextlib.closing(FileSource(path)) as source:
        assert list(source.extents()) == [Extent(0, 8 * MIB)]


def test_zeroing_gives_the_space_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 4 * MIB)
    with contextlib.closing(FileTarget(path, size=0, reads_as_zeros=False)) as target:
        target.zero(MIB, 2 * MIB)
        target.flush()
    assert path.read_bytes() == b"x" * MIB + bytes(2 * MIB) + b"x" * MIB
    assert path.stat().st_blocks * 512 <= 2 * MIB + 65536


def test_where_holes_can_not_be_punched_zeros_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(blocks, "_punch_hole", unable)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 4 * MIB)
    with contextlib.closing(FileTarget(path, size=0, reads_as_zeros=False)) as target:
        target.zero(5, 2 * MIB + 7)
    expected = b"x" * 5 + bytes(2 * MIB + 7) + b"x" * (2 * MIB - 12)
    assert path.read_bytes() == expected


def test_a_file_grows_as_far_as_its_volume_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with contextlib.closing(FileTarget(path, size=100, reads_as_zeros=False)) as target:
        assert target.size == 100
        target.write(10, b"def")
        assert path.read_bytes() == b"abc" + bytes(7) + b"def"
        target.zero(50, 50)
        assert path.read_bytes() == b"abc" + bytes(7) + b"def" + bytes(87)
        with pytest.raises(TargetError):
            target.write(99, b"xx")
        with pytest.raises(TargetError):
            target.zero(100, 1)


def test_a_target_that_is_not_there_or_read_only_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="away: No such file"):
        FileTarget(tmp_path / "away", size=1, reads_as_zeros=False)
    with pytest.raises(TargetError, match="Is a directory"):
        FileTarget(tmp_path, size=1, reads_as_zeros=False)
