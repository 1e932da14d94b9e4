"""What callers ask of volumes, with Cinder's checks, in Cinder's order, in Cinder's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.volumes import SnapshotRow, Summary, VolumeRow
from emberkeep.volumes import pools, quota
from emberkeep.volumes.errors import InvalidInput, InvalidSnapshot, InvalidVolume, Malformed
from emberkeep.volumes.kept import Kept, is_migrating

DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing")
_CAN_NOT_FORCE = (
    "Invalid volume: Volume  must not be migrating, attached, belong to a group, have snapshots, "
    "awaiting a transfer, or be disassociated from snapshots after volume transfer."
)
_CAN_NOT_DELETE = _CAN_NOT_FORCE.replace(
    "Volume  must",
    "Volume status must be available or error or error_restoring or error_extending or "
    "error_managing and must",
)
_ONE_SOURCE = (
    "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
)


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """What a caller asks for in a new volume.  `size_gib` may be None if there is a source."""

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    volume_type: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    availability_zone: str | None = None


class Requests(Kept):
    """Volumes as the API has them."""

    def show(self, volume_id: str, *, project_id: str | None = None) -> VolumeRow:
        """The volume's row.  Raises `VolumeNotFound`."""
        with self._database.reading() as tx:
            return self._row(tx, volume_id, project_id)

    def find(self, query: Query, *, with_count: bool = False) -> tuple[list[VolumeRow], int | None]:
        """A page of volumes, and how many there are in all pages if that is asked for."""
        with self._database.reading() as tx:
            return table.page(tx, query), table.count(tx, query) if with_count else None

    def create(self, caller: Caller, asked: VolumeRequest) -> VolumeRow:
        """Make a volume: empty, of a snapshot or of another volume; `creating` until it is made.

        Where no service takes new volumes, it is accepted, too, and in `error` right afterwards.
        Raises `TypeNotFound`, `SnapshotNotFound`, `VolumeNotFound`, what `authorize` raises,
        `InvalidInput`, `InvalidSnapshot`, `InvalidVolume`, `Malformed`, `UnknownZone` and
        `VolumeQuotaExceeded`, in this order.
        """
        volume_type = self.check_type(asked.volume_type)
        with self._database.writing() as tx:
            snapshot = source = None
            if asked.snapshot_id is not None:
                snapshot = self._held_snapshot(tx, asked.snapshot_id, caller.sees)
            if asked.source_volid is not None:
                # Who holds both holds the volume first; with a snapshot, too, it is refused anyhow.
                look = self._held if snapshot is None else self._row
                source = look(tx, asked.source_volid, caller.sees)
                source = replace(source, status=self._true_status(tx, source))
            caller.authorize("volume:create", None)
            if snapshot is not None and source is not None:
                raise InvalidInput(_ONE_SOURCE)
            size = _checked_size(asked.size_gib, snapshot, source)
            origin = source if snapshot is None else table.get(tx, snapshot.volume_id)
            zone = self._zone(asked.availability_zone, origin, is_snapshot=snapshot is not None)
            quota.check_volume(tx, self._quotas, caller.project_id, size)
            row = self._new_row(
                tx,
                project_id=caller.project_id,
                user_id=caller.user_id,
                size=size,
                zone=zone,
                status="creating",
                name=asked.name,
                description=asked.description,
                metadata=asked.metadata,
                volume_type=volume_type,
                snapshot_id=asked.snapshot_id,
                source_volid=asked.source_volid,
                bootable=origin is not None and origin.bootable,
                image_metadata=origin.image_metadata if origin else None,
            )
            if pools.takes_volumes(tx, zone):
                self._task(tx, "create-volume", row.id, row)
            else:
                table.change(tx, row.id, status="error")
                pools.tell_unplaced(tx, caller, row.id, ttl=self._message_ttl)
        self._wake()
        return row

    def _zone(self, asked: str | None, origin: VolumeRow | None, *, is_snapshot: bool) -> str:
        """The zone of a new volume: the one asked for, else its origin's, else the default."""
        zone = self._check_zone(asked or (origin.availability_zone if origin else None))
        if origin is None or zone == origin.availability_zone or not self._placing.same_zone:
            return zone
        what = "snapshot" if is_snapshot else "source volume"
        raise InvalidInput(
            f"Invalid input received: Volume must be in the same availability zone as the {what}"
        )

    def delete(
        self, caller: Caller, volume_id: str, *, cascade: bool = False, force: bool = False
    ) -> None:
        """Delete the volume, with its snapshots if `cascade`; its backups stay.

        With `force` whatever its status, and that of its snapshots; what is in use stays anyhow.
        Raises `VolumeNotFound`, what `authorize` raises, `InvalidVolume`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            caller.authorize("volume:delete", row.project_id)
            snapshots = table.held_snapshots(tx, volume_id)
            movable = force or (row.status in DELETABLE and self._nobody_copies(tx, row, snapshots))
            if (
                not movable
                or row.attach_status == "attached"
                or is_migrating(row)
                or not self._may_go_with(caller, snapshots, cascade=cascade, force=force)
            ):
                raise InvalidVolume(_CAN_NOT_FORCE if force else _CAN_NOT_DELETE)
            for snapshot in snapshots:
                table.change_snapshot(tx, snapshot.id, status="deleting")
                self._task(tx, "delete-snapshot", snapshot.id, row)
            table.change(tx, volume_id, status="deleting", previous_status=row.status)
            self._task(tx, "delete-volume", volume_id, row)
        self._wake()

    @staticmethod
    def _nobody_copies(tx: Transaction, row: VolumeRow, snapshots: Sequence[SnapshotRow]) -> bool:
        return not table.is_being_copied(tx, row.id) and not any(
            table.is_snapshot_being_copied(tx, snapshot.id) for snapshot in snapshots
        )

    @staticmethod
    def _may_go_with(
        caller: Caller, snapshots: Sequence[SnapshotRow], *, cascade: bool, force: bool
    ) -> bool:
        """Whether the volume may go as far as its snapshots are concerned."""
        if not snapshots or (cascade and force):
            return True
        return cascade and all(
            snapshot.status in ("available", "error") and caller.sees in (None, snapshot.project_id)
            for snapshot in snapshots
        )

    def summary(self, caller: Caller, *, everywhere: bool) -> Summary:
        """How many volumes the caller's project has, or all have; raises what `authorize` does."""
        caller.authorize("volume:get_all", None)
        with self._database.reading() as tx:
            return table.summary(tx, None if everywhere else caller.project_id)

    def extend(
        self, caller: Caller, volume_id: str, new_size_gib: int, *, in_use: bool = False
    ) -> None:
        """Make the `available` volume larger, or one `in-use` if `in_use`; `extending` until it is.

        Raises `VolumeNotFound`, what `authorize` raises, `InvalidInput`, `InvalidVolume`,
        `VolumeQuotaExceeded`.
        """
        with self._database.writing() as tx:
            row = self._held(tx, volume_id, caller.sees)
            expected = "in-use" if in_use and row.status == "in-use" else "available"
            rule = "volume:extend" if expected == "available" else "volume:extend_attached_volume"
            caller.authorize(rule, row.project_id)
            if new_size_gib <= row.size:
                raise InvalidInput(
                    "Invalid input received: New size for extend must be greater than current "
                    f"size. (current: {row.size}, extended: {new_size_gib})."
                )
            if row.status != expected:
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be '{{'status': "
                    f"'{expected}'}}' to extend, currently {row.status}."
                )
            quota.check_growth(
                tx,
                self._quotas,
                row.project_id,
                new_size_gib - row.size,
                new_size_gib=new_size_gib,
            )
            # At once, so that it counts: two volumes may be extended at the same time.
            table.change(
                tx,
                volume_id,
                status="extending",
                previous_status=row.status,
                size=new_size_gib,
            )
            self._task(tx, "extend-volume", volume_id, row, size=new_size_gib, before=row.size)
        self._wake()


def _checked_size(
    asked_gib: int | None, snapshot: SnapshotRow | None, source: VolumeRow | None
) -> int:
    """The size of a new volume in GiB: as asked, or its source's."""
    if asked_gib is not None and asked_gib < 1:
        raise InvalidInput(
            f"Invalid input received: Volume size '{asked_gib}' must be an integer and greater "
            "than 0"
        )
    if snapshot is not None:
        if snapshot.status != "available":
            raise InvalidSnapshot(
                "Invalid snapshot: Originating snapshot status must be one of 'available' values"
            )
        smallest, comparison = snapshot.size, "the snapshot size {}GB. They must be >= original"
        comparison += " snapshot size."
    elif source is not None:
        if source.status not in ("available", "in-use"):
            raise InvalidVolume(
                "Invalid volume: Originating source volume status must be one of "
                "'available, in-use' values"
            )
        smallest, comparison = source.size, "original volume size  {}GB. They must be >= original"
        comparison += " volume size."
    elif asked_gib is None:
        raise Malformed
    else:
        return asked_gib
    if asked_gib is not None and asked_gib < smallest:
        raise InvalidInput(
            f"Invalid input received: Volume size '{asked_gib}'GB cannot be smaller than "
            + comparison.format(smallest)
        )
    return asked_gib or smallest
