"""The files that hold volumes."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.engine.errors import SourceError, TargetError
from emberkeep.engine.protocols import Source
from emberkeep.volumes.drivers import blocks
from emberkeep.volumes.drivers.files import Changed, FilesDriver
from emberkeep.volumes.errors import NoRoom, VolumeError

MIB = 1 << 20


@pytest.fixture
def driver(tmp_path: Path) -> FilesDriver:
    return FilesDriver(tmp_path / "volumes")


@pytest.fixture(params=["as the file system can", "without sharing blocks"])
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without sharing blocks":
        monkeypatch.setattr(blocks, "share", lambda _original, _descriptor: False)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that shares no blocks."""
    monkeypatch.setattr(blocks, "share", lambda _original, _descriptor: False)


def an_image(path: Path, *, size: int = 8 * MIB, data: bytes = b"\x07" * MIB) -> Path:
    """A sparse file with data at its third MiB."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(2 * MIB)
        file.write(data)
    return path


def content(source: Source) -> bytes:
    """What a source has: its extents as read, the rest zeros."""
    image = bytearray(source.size)
    for extent in source.extents():
        source.read_into(extent.offset, memoryview(image)[extent.offset : extent.end])
    return bytes(image)


def in_directory(driver: FilesDriver) -> list[str]:
    return sorted(path.name for path in driver.directory.iterdir())


def test_a_new_volume_is_a_sparse_file_of_its_size(driver: FilesDriver) -> None:
    driver.create("v", 64 * MIB)
    found = driver.path("v").stat()
    assert (found.st_size, found.st_blocks) == (64 * MIB, 0)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(driver.directory.stat().st_mode) == 0o700


def test_renewing_gives_an_empty_volume(driver: FilesDriver) -> None:
    driver.create("v", MIB)
    driver.path("v").write_bytes(b"old" * 1000)
    driver.renew("v", MIB)
    assert driver.path("v").read_bytes() == bytes(MIB)
    assert in_directory(driver) == ["v"]


def test_a_task_that_is_repeated_late_keeps_what_is_there(
    driver: FilesDriver, tmp_path: Path
) -> None:
    driver.create("v", MIB)
    driver.path("v").write_bytes(b"written since")
    driver.create("v", MIB)
    driver.copy(an_image(tmp_path / "image"), "v")
    assert driver.path("v").read_bytes() == b"written since"
    assert in_directory(driver) == ["v"]


@pytest.mark.usefixtures("alone")
def test_a_copy_that_ends_late_does_not_take_the_place_of_another(
    driver: FilesDriver, tmp_path: Path
) -> None:
    def be_overtaken(done: int, total: int) -> None:
        if done == total:
            driver.path("v").write_bytes(b"written since")

    driver.copy(an_image(tmp_path / "image"), "v", copied=be_overtaken)
    assert driver.path("v").read_bytes() == b"written since"
    assert in_directory(driver) == ["v"]


def test_a_target_that_was_replaced_while_it_was_written_ends_in_an_error(
    driver: FilesDriver,
) -> None:
    driver.create("v", MIB)

    def restore_while_another_begins() -> None:
        with driver.target(driver.path("v"), size=MIB, reads_as_zeros=True) as target:
            target.write(0, b"x")
            driver.renew("v", MIB)

    with pytest.raises(TargetError, match="was replaced while it was restored to"):
        restore_while_another_begins()


def test_extending_keeps_what_is_there_and_never_shortens(driver: FilesDriver) -> None:
    driver.create("v", MIB)
    driver.path("v").write_bytes(b"x" * MIB)
    driver.extend("v", 2 * MIB)
    driver.extend("v", MIB)
    assert driver.path("v").read_bytes() == b"x" * MIB + bytes(MIB)


def test_what_is_not_there_is_deleted_but_not_extended(driver: FilesDriver) -> None:
    driver.delete("v")
    with pytest.raises(VolumeError, match="No such file"):
        driver.extend("v", MIB)


@pytest.mark.usefixtures("sharing")
def test_a_copy_is_equal_stays_sparse_and_goes_its_own_way(
    driver: FilesDriver, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image")
    before = image.read_bytes()
    driver.copy(image, "v", size=16 * MIB)
    with image.open("r+b") as file:
        file.write(b"later")
    copy = driver.path("v")
    assert copy.read_bytes() == before + bytes(8 * MIB)
    assert copy.stat().st_blocks * 512 <= 2 * MIB
    assert in_directory(driver) == ["v"]


@pytest.mark.usefixtures("alone")
def test_a_copy_without_room_is_refused_before_it_begins(
    driver: FilesDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_free", lambda: MIB - 1)
    with pytest.raises(NoRoom, match="the copy needs 1 MiB; free some space"):
        driver.copy(an_image(tmp_path / "image"), "v", copied=lambda _d, _t: pytest.fail("began"))
    assert in_directory(driver) == []


@pytest.mark.usefixtures("alone")
def test_a_copy_needs_room_for_the_allocated_bytes_only(
    driver: FilesDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_free", lambda: MIB)
    driver.copy(an_image(tmp_path / "image"), "v")
    assert driver.path("v").stat().st_size == 8 * MIB


def test_a_directory_that_becomes_full_says_so_and_keeps_nothing(
    driver: FilesDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "share", lambda _original, _descriptor: False)
    monkeypatch.setattr(blocks, "copy", full)
    with pytest.raises(NoRoom, match="is full; free some space there"):
        driver.copy(an_image(tmp_path / "image"), "v")
    assert in_directory(driver) == []


@pytest.mark.usefixtures("alone")
def test_a_copy_that_is_stopped_leaves_nothing(driver: FilesDriver, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == MIB:
            raise InterruptedWork

    with pytest.raises(InterruptedWork):
        driver.copy(an_image(tmp_path / "image", data=b"x" * 3 * MIB), "v", copied=stop)
    assert seen == [(0, 3 * MIB), (MIB, 3 * MIB)]
    assert in_directory(driver) == []


class InterruptedWork(Exception):
    pass


@pytest.mark.usefixtures("alone")
def test_a_file_that_changes_while_it_is_copied_gives_no_copy(
    driver: FilesDriver, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image")

    def write(done: int, _total: int) -> None:
        if done == 0:
            with image.open("r+b") as file:
                file.write(b"!")

    with pytest.raises(Changed, match="was written to while it was copied"):
        driver.copy(image, "v", copied=write)
    assert in_directory(driver) == []


def test_what_cannot_be_read_is_named(driver: FilesDriver, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"nothing-here: No such file"):
        driver.copy(tmp_path / "nothing-here", "v")


# Points in time.


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("in_use", [False, True])
def test_a_point_in_time_is_what_the_volume_held_and_is_gone_afterwards(
    driver: FilesDriver, tmp_path: Path, in_use: bool
) -> None:
    image = an_image(tmp_path / "image")
    with driver.point_in_time(image, "job", in_use=in_use) as source:
        assert content(source) == image.read_bytes()
        assert [(e.offset, e.length) for e in source.extents()] == [(2 * MIB, MIB)]
    assert in_directory(driver) == []


@pytest.mark.usefixtures("alone")
def test_a_volume_that_is_written_to_while_it_is_read_in_place_ends_in_an_error(
    driver: FilesDriver, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image")

    def back_up_while_it_is_written_to() -> None:
        with driver.point_in_time(image, "job", in_use=False) as source:
            content(source)
            with image.open("r+b") as file:  # the same size, and at once
                file.write(b"!")

    with pytest.raises(SourceError, match="was written to while it was backed up"):
        back_up_while_it_is_written_to()


@pytest.mark.usefixtures("alone")
def test_writes_after_the_copy_of_a_volume_in_use_are_not_in_it(
    driver: FilesDriver, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image")
    before = image.read_bytes()
    with driver.point_in_time(image, "job", in_use=True) as source:
        an_image(image, data=b"later" * 1000)
        assert content(source) == before
    assert in_directory(driver) == []


@pytest.mark.usefixtures("alone")
def test_a_volume_in_use_that_is_never_quiet_is_not_backed_up(
    driver: FilesDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = an_image(tmp_path / "image")
    copy = blocks.copy

    def restless(*arguments: object) -> None:
        copy(*arguments)  # type: ignore[arg-type]
        os.utime(image)

    monkeypatch.setattr(blocks, "copy", restless)
    with (
        pytest.raises(SourceError, match="was written to each time it was copied"),
        driver.point_in_time(image, "job", in_use=True),
    ):
        pytest.fail("a torn copy was handed out")
    assert in_directory(driver) == []


@pytest.mark.usefixtures("alone")
def test_the_copy_of_a_volume_in_use_needs_room(
    driver: FilesDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_free", lambda: 0)
    image = an_image(tmp_path / "image")
    with pytest.raises(NoRoom), driver.point_in_time(image, "job", in_use=True):
        pytest.fail("there was no room")
    with driver.point_in_time(image, "job", in_use=False) as source:
        assert source.size == 8 * MIB


@pytest.mark.parametrize("in_use", [False, True])
def test_what_fails_within_the_block_is_not_taken_for_the_volumes(
    driver: FilesDriver, tmp_path: Path, in_use: bool
) -> None:
    def fill_the_store() -> None:
        with driver.point_in_time(an_image(tmp_path / "image"), "job", in_use=in_use):
            raise OSError(28, "the store is full")

    with pytest.raises(OSError, match="the store is full"):
        fill_the_store()
    assert in_directory(driver) == []


def test_an_error_within_the_block_is_not_hidden_by_the_check(
    driver: FilesDriver, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image")

    def be_stopped() -> None:
        with driver.point_in_time(image, "job", in_use=False):
            os.utime(image)
            raise InterruptedWork

    with pytest.raises(InterruptedWork):
        be_stopped()


def test_what_killed_processes_left_is_swept(driver: FilesDriver) -> None:
    driver.create("v", MIB)
    driver.create("snapshot-s", MIB)
    driver.path(".v.abc.partial").write_bytes(b"left")
    driver.sweep()
    assert in_directory(driver) == ["snapshot-s", "v"]


@pytest.mark.usefixtures("alone")
def test_what_is_being_made_is_not_swept(driver: FilesDriver, tmp_path: Path) -> None:
    image = an_image(tmp_path / "image")
    driver.copy(image, "v", copied=lambda _done, _total: driver.sweep())
    with driver.point_in_time(image, "job", in_use=True) as source:
        driver.sweep()
        assert len(in_directory(driver)) == 2
        assert content(source) == image.read_bytes()
    assert in_directory(driver) == ["v"]
    assert driver.path("v").read_bytes() == image.read_bytes()


# Against a model.

SIZE = 256 << 10
places = st.integers(0, SIZE)
changes = st.lists(
    st.tuples(st.sampled_from(["write", "zero", "snapshot", "clone"]), places, places),
    min_size=1,
    max_size=12,
)


@pytest.mark.usefixtures("sharing")
@given(changes=changes)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_volumes_clones_and_snapshots_are_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]]
) -> None:
    driver = FilesDriver(tmp_path_factory.mktemp("model") / "volumes")
    driver.create("0", SIZE)
    current, model = "0", bytearray(SIZE)
    kept: dict[str, bytes] = {}
    for n, (change, one, other) in enumerate(changes, 1):
        begin, end = sorted((one, other))
        match change:
            case "write" | "zero":
                data = bytes([n]) * (end - begin) if change == "write" else bytes(end - begin)
                model[begin:end] = data
                with driver.target(driver.path(current), size=SIZE, reads_as_zeros=False) as target:
                    if change == "write":
                        target.write(begin, data)
                    else:
                        target.zero(begin, end - begin)
                    target.flush()
            case "snapshot":
                driver.copy(driver.path(current), str(n))
                kept[str(n)] = bytes(model)
            case "clone":
                kept[current] = bytes(model)
                driver.copy(driver.path(current), str(n))
                current = str(n)
    kept[current] = bytes(model)
    for name, expected in kept.items():
        with driver.point_in_time(driver.path(name), "check", in_use=False) as source:
            assert content(source) == expected
    assert in_directory(driver) == sorted(kept)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    left = set(os.listdir("/proc/self/fd")) - before
    assert not [fd for fd in left if Path(f"/proc/self/fd/{fd}").exists()]
