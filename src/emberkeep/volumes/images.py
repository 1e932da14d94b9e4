"""Image files and block devices brought in as volumes, and volumes taken out as files.

An operator does this on the host that has the volumes.
"""

import math
import os
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

from emberkeep.db import volumes as table
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes import quota
from emberkeep.volumes.drivers.blocks import Copied
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.volumes.errors import VolumeError
from emberkeep.volumes.kept import GIB, Kept


def _unwatched(_done: int, _total: int) -> None:
    pass


class Images(Kept):
    """Volumes in and out."""

    def import_file(
        self,
        path: Path,
        *,
        name: str | None,
        zone: str,
        project_id: str,
        user_id: str,
        reference: bool = False,
        metadata: Mapping[str, str] | None = None,
        image_metadata: Mapping[str, str] | None = None,
        bootable: bool = False,
        copied: Copied = _unwatched,
    ) -> VolumeRow:
        """Take an image file or block device as a volume: a sparse copy of it, or by `reference`.

        The volume has as many GiB as hold the file.  A copy is extended to that; what is referred
        to stays as it lies: a backup of it has its own size, and deleting the volume leaves it.
        The volume is there when all of it is copied, and not before.  `copied` gets bytes done and
        bytes to do, and may raise to stop.

        Raises `UnknownZone`, `VolumeQuotaExceeded`, `NoRoom`, `VolumeError`.
        """
        zone = self._check_zone(zone)
        size = max(1, math.ceil(_size_of(path) / GIB))
        volume_id = str(uuid.uuid4())
        driver = self.driver(self._zones[zone])
        referred = str(path.resolve()) if reference else None
        with self._database.writing() as tx:
            quota.check_volume(tx, self._quotas, project_id, size)
        if not reference:
            driver.copy(path, volume_id, size=size * GIB, copied=copied)
        try:
            with self._database.writing() as tx:
                if referred is not None:
                    self._check_reference(Path(referred), table.volume_at(tx, referred))
                quota.check_volume(tx, self._quotas, project_id, size)
                return self._new_row(
                    tx,
                    volume_id=volume_id,
                    project_id=project_id,
                    user_id=user_id,
                    size=size,
                    zone=zone,
                    status="available",
                    name=name,
                    metadata=metadata,
                    image_metadata=image_metadata,
                    bootable=bootable,
                    path=referred,
                )
        except BaseException:
            driver.delete(volume_id)
            raise

    def _check_reference(self, path: Path, known: VolumeRow | None) -> None:
        if known is not None:
            raise VolumeError(f"{path} is the volume {known.id} already")
        for driver in self._drivers.values():
            if path.is_relative_to(driver.directory.resolve()):
                raise VolumeError(
                    f"{path} is a file of {driver.directory}, which holds volumes; import a copy"
                )

    def export_file(
        self, volume_id: str, destination: Path, *, copied: Copied = _unwatched
    ) -> None:
        """Copy the volume's bytes to a new file.

        Raises `VolumeNotFound`, `NoRoom`, and `VolumeError` if `destination` exists, can't be
        written, or somebody writes to the volume meanwhile.
        """
        with self._database.reading() as tx:
            row = self._row(tx, volume_id)
        if destination.exists() or destination.is_symlink():
            raise VolumeError(f"{destination} exists; name another file")
        if not destination.parent.is_dir():
            raise VolumeError(f"{destination.parent} is no directory")
        FilesDriver(destination.parent).copy(self.path_of(row), destination.name, copied=copied)


def _size_of(path: Path) -> int:
    """Bytes of a file or block device.  Raises `VolumeError` if it is neither, or can't be read."""
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISBLK(kind):
            raise VolumeError(f"{path} is neither a file nor a block device")
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from error
