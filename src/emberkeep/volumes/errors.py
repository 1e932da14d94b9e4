"""What a volume service may raise."""


class VolumeError(Exception):
    """The base of all of a volume service's errors; the message says what to do."""


class VolumeNotFound(VolumeError):
    """There is no such volume, or the caller may not see it."""

    def __init__(self, volume_id: str) -> None:
        super().__init__(f"Volume {volume_id} could not be found.")


class SnapshotNotFound(VolumeError):
    """There is no such snapshot, or the caller may not see it."""

    def __init__(self, snapshot_id: str) -> None:
        super().__init__(f"Snapshot {snapshot_id} could not be found.")


class WrongStatus(VolumeError):
    """The volume or snapshot is in a status (`status`) that does not allow what was asked."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class VolumesUnavailable(VolumeError):
    """The volume service gave no answer; the same call may succeed later."""


class VolumeQuotaExceeded(VolumeError):
    """The project has no quota left for the volume."""


class UnknownZone(VolumeError):
    """No volume can be made in the availability zone that was asked for."""

    def __init__(self, availability_zone: str) -> None:
        super().__init__(f"Availability zone '{availability_zone}' is invalid.")


class NoRoom(VolumeError):
    """The back end has not the space that is needed."""
