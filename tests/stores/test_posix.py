import errno
import os
from pathlib import Path

import pytest

from emberkeep.stores.errors import StoreError, StoreFull
from emberkeep.stores.open import open_store
from emberkeep.stores.posix import PosixStore


def files(directory: Path) -> list[str]:
    return sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = PosixStore(tmp_path)

    def fsync(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    store.put("d/before", b"x")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreFull, match="is full: no room for 3 bytes; free some space there"):
        store.put("d/object", b"abc")
    monkeypatch.undo()
    assert files(tmp_path) == ["d/before"]
    store.put("d/object", b"abc")


def test_an_object_is_named_only_after_it_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PosixStore(tmp_path)
    store.put("d/before", b"x")
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        is_directory = Path(f"/proc/self/fd/{descriptor}").readlink().is_dir()
        synced.append((is_directory, (tmp_path / "d/object").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    store.put("d/object", b"abc")
    assert synced == [(False, False), (True, True)]


def test_what_a_killed_process_left_is_never_listed_and_goes_after_a_day(tmp_path: Path) -> None:
    store = PosixStore(tmp_path)
    store.put("d/object", b"abc")
    stray = tmp_path / ".incoming" / "tmpabc"
    stray.write_bytes(b"half of it")
    assert [item.name for item in store.list("")] == ["d/object"]
    assert store.remove_strays() == 0
    os.utime(stray, (0, 0))
    assert store.remove_strays() == 1
    assert not stray.exists()


def test_files_and_directories_are_private(tmp_path: Path) -> None:
    PosixStore(tmp_path / "store").put("d/object", b"abc")
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "store/d/object").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "relative/path", "file://host/x", "file:relative", ""]
)
def test_a_url_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="file:///"):
        open_store(url)
