"""Metadata of volumes and snapshots, and what a volume knows of the image that it was made of."""

from collections.abc import Mapping
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.errors import ImageMetadataNotFound, InvalidVolume, MetadataNotFound
from emberkeep.volumes.kept import Kept

_KEPT_AS_IT_IS = ("maintenance", "uploading")


class Metadata(Kept):
    """All calls raise `VolumeNotFound` or `SnapshotNotFound`, then what `authorize` raises."""

    def metadata(self, caller: Caller, volume_id: str) -> dict[str, str]:
        with self._database.reading() as tx:
            row = self._row(tx, volume_id, caller.sees)
            caller.authorize("volume:get_volume_metadata", row.project_id)
        return row.metadata

    def metadata_item(self, caller: Caller, volume_id: str, key: str) -> str:
        """The value.  Raises `MetadataNotFound`."""
        found = self.metadata(caller, volume_id)
        if key not in found:
            raise MetadataNotFound("Volume", volume_id, key)
        return found[key]

    def add_metadata(
        self, caller: Caller, volume_id: str, added: Mapping[str, str]
    ) -> dict[str, str]:
        """Add to the volume's metadata; all of it.  Raises `InvalidVolume`."""
        rule = "volume:create_volume_metadata"
        return self._write(caller, volume_id, rule, lambda row: {**row.metadata, **added})

    def set_metadata_item(self, caller: Caller, volume_id: str, key: str, value: str) -> None:
        """Raises `InvalidVolume`."""
        rule = "volume:update_volume_metadata"
        self._write(caller, volume_id, rule, lambda row: {**row.metadata, key: value})

    def replace_metadata(
        self, caller: Caller, volume_id: str, metadata: Mapping[str, str]
    ) -> dict[str, str]:
        """Raises `InvalidVolume`."""
        rule = "volume:update_volume_metadata"
        return self._write(caller, volume_id, rule, lambda _row: dict(metadata))

    def remove_metadata_item(self, caller: Caller, volume_id: str, key: str) -> None:
        """Raises `MetadataNotFound`, `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:get_volume_metadata", row.project_id)
            if key not in row.metadata:
                raise MetadataNotFound("Volume", volume_id, key)
            caller.authorize("volume:delete_volume_metadata", row.project_id)
            _check_may_change(row, "Deleting")
            left = {name: value for name, value in row.metadata.items() if name != key}
            table.change(tx, volume_id, metadata=left)

    def _write(self, caller: Caller, volume_id: str, rule: str, after: Any) -> dict[str, str]:
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize(rule, row.project_id)
            _check_may_change(row, "Updating")
            metadata: dict[str, str] = after(row)
            table.change(tx, volume_id, metadata=metadata)
        return metadata

    # Of the image.

    def image_metadata(self, caller: Caller, volume_id: str) -> dict[str, str]:
        """Raises `ImageMetadataNotFound` if there is none."""
        with self._database.reading() as tx:
            row = self._row(tx, volume_id, caller.sees)
            caller.authorize("volume:get_volume_metadata", row.project_id)
        if not row.image_metadata:
            raise ImageMetadataNotFound(volume_id)
        return row.image_metadata

    def add_image_metadata(
        self, caller: Caller, volume_id: str, added: Mapping[str, str]
    ) -> dict[str, str]:
        """Add to it; all of it.  Raises `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            for rule in (
                "volume_extension:volume_image_metadata:set",
                "volume:update_volume_metadata",
            ):
                caller.authorize(rule, row.project_id)
            _check_may_change(row, "Updating")
            metadata = {**row.image_metadata, **added}
            table.change(tx, volume_id, image_metadata=metadata)
        return metadata

    def remove_image_metadata(self, caller: Caller, volume_id: str, key: str) -> None:
        """Raises `ImageMetadataNotFound`, `InvalidVolume`."""
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume_extension:volume_image_metadata:remove", row.project_id)
            caller.authorize("volume:get_volume_metadata", row.project_id)
            if key not in row.image_metadata:
                raise ImageMetadataNotFound(volume_id)
            caller.authorize("volume:delete_volume_metadata", row.project_id)
            _check_may_change(row, "Deleting")
            left = {name: value for name, value in row.image_metadata.items() if name != key}
            table.change(tx, volume_id, image_metadata=left)

    # Of snapshots.

    def snapshot_metadata(self, caller: Caller, snapshot_id: str) -> dict[str, str]:
        with self._database.reading() as tx:
            row = self._snapshot_row(tx, snapshot_id, caller.sees)
            for rule in ("volume:get_snapshot", "volume:get_snapshot_metadata"):
                caller.authorize(rule, row.project_id)
        return row.metadata

    def snapshot_metadata_item(self, caller: Caller, snapshot_id: str, key: str) -> str:
        """The value.  Raises `MetadataNotFound`."""
        found = self.snapshot_metadata(caller, snapshot_id)
        if key not in found:
            raise MetadataNotFound("Snapshot", snapshot_id, key)
        return found[key]

    def change_snapshot_metadata(
        self, caller: Caller, snapshot_id: str, metadata: Mapping[str, str], *, replace: bool
    ) -> dict[str, str]:
        """Add to the snapshot's metadata, or replace it; all of it."""
        with self._database.writing() as tx:
            row = self._held_snapshot(tx, snapshot_id, caller.sees)
            for rule in ("volume:get_snapshot", "volume:update_snapshot_metadata"):
                caller.authorize(rule, row.project_id)
            after = dict(metadata) if replace else {**row.metadata, **metadata}
            self._write_snapshot(tx, snapshot_id, after)
        return after

    def remove_snapshot_metadata_item(self, caller: Caller, snapshot_id: str, key: str) -> None:
        """Raises `MetadataNotFound`."""
        with self._database.writing() as tx:
            row = self._held_snapshot(tx, snapshot_id, caller.sees)
            for rule in ("volume:get_snapshot", "volume:get_snapshot_metadata"):
                caller.authorize(rule, row.project_id)
            if key not in row.metadata:
                raise MetadataNotFound("Snapshot", snapshot_id, key)
            caller.authorize("volume:delete_snapshot_metadata", row.project_id)
            left = {name: value for name, value in row.metadata.items() if name != key}
            self._write_snapshot(tx, snapshot_id, left)

    @staticmethod
    def _write_snapshot(tx: Transaction, snapshot_id: str, metadata: dict[str, str]) -> None:
        table.change_snapshot(tx, snapshot_id, metadata=metadata)


def _check_may_change(row: VolumeRow, doing: str) -> None:
    if row.status in _KEPT_AS_IT_IS:
        raise InvalidVolume(
            f"Invalid volume: {doing} volume metadata is not allowed for volumes in "
            f"{row.status} status."
        )
