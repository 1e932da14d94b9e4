"""`emberkeep repo restore`: a backup into a file or a block device.

Invariant: a file has its name, and its old content is gone, only when all of it was restored.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click

from emberkeep.cli import options, shown
from emberkeep.cli.errors import Failure
from emberkeep.cli.repo import bare, catalog
from emberkeep.cli.repo.bare import Bare
from emberkeep.cli.repo.options import Where, container
from emberkeep.cli.repo.options import bare as bare_options
from emberkeep.engine.protocols import Target
from emberkeep.engine.repository import DomainId, RootId
from emberkeep.volumes.drivers.streams import FileTarget


@click.command()
@bare_options
@container
@click.option("--volume", metavar="NAME", help="Of which volume, with latest.")
@click.option("--force", is_flag=True, help="Overwrite a file or device that is there.")
@options.as_json
@click.argument("backup")
@click.argument("target", type=click.Path(path_type=Path))
def restore(
    where: Where,
    container: str | None,
    volume: str | None,
    force: bool,
    as_json: bool,
    backup: str,
    target: Path,
) -> None:
    """Restore BACKUP to TARGET, a file or a block device.

    BACKUP is an id, the first digits of one, or latest.  A file is sparse, and has its name only
    when all of it is there.  What lies on a device beyond the backup's size is left alone.
    """
    with bare.reading(where) as found:
        domain, root = _chosen(found, backup, container, volume)
        size = found.repository.describe(domain, root).size
        with (
            _target(target, size, force=force) as opened,
            shown.bytes_bar(target.name, quiet=as_json) as report,
        ):
            found.repository.restore(domain, root, opened, progress=report)
    if as_json:
        click.echo(json.dumps({"id": root, "target": str(target), "size": size}))
    else:
        click.echo(f"{root}: {shown.size(size)} restored to {target}")


def _chosen(
    found: Bare, text: str, container: str | None, volume: str | None
) -> tuple[DomainId, RootId]:
    if text != catalog.LATEST:
        return catalog.find(found, text)
    newest = catalog.newest(found, container=container, volume=volume)
    if newest is None:
        raise Failure("there is no such backup that can be read; see emberkeep repo list")
    return newest.domain, newest.id


@contextlib.contextmanager
def _target(path: Path, size: int, *, force: bool) -> Iterator[Target]:
    path = path.resolve()
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not force:
        raise Failure(f"{path} exists; name another file, or overwrite it with --force")
    if mode is not None and stat.S_ISBLK(mode):
        with _device(path) as target:
            yield target
        return
    if mode is not None and not stat.S_ISREG(mode):
        raise Failure(f"{path} is neither a file nor a block device")
    with _new_file(path, size, mode) as target:
        yield target


@contextlib.contextmanager
def _device(path: Path) -> Iterator[Target]:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise Failure(f"{path} is in use; unmount it, and end what has it open") from error
    with contextlib.closing(FileTarget(path, size=0, reads_as_zeros=False)) as target:
        yield target


@contextlib.contextmanager
def _new_file(path: Path, size: int, replaced: int | None) -> Iterator[Target]:
    """A file beside `path` that takes its name when the block ends well.

    What a killed process left half made is taken and made anew; `replaced` is the mode of the file
    that is there, if one is.
    """
    partial = path.with_name(f".{path.name}.emberkeep-partial")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, partial, path)
        with _removed_if_left(partial):
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)
            if replaced is not None:
                os.fchmod(descriptor, stat.S_IMODE(replaced))
            with contextlib.closing(FileTarget(partial, size=size, reads_as_zeros=True)) as target:
                yield target
            os.fsync(descriptor)
            _name(partial, path, replace=replaced is not None)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, partial: Path, path: Path) -> None:
    """Raises `Failure` if another process has the file, or gave it its name just now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(descriptor), partial.stat())
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise Failure(f"another process restores to {path}; wait for that one")


@contextlib.contextmanager
def _removed_if_left(partial: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _name(partial: Path, path: Path, *, replace: bool) -> None:
    if replace:
        partial.replace(path)
    else:
        try:
            path.hardlink_to(partial)  # never over a file that somebody made meanwhile
        except FileExistsError as error:
            raise Failure(f"{path} exists by now; name another file") from error
        partial.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
