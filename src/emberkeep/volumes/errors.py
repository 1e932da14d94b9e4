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


class AttachmentNotFound(VolumeError):
    """There is no such attachment, or the caller may not see it."""

    def __init__(self, attachment_id: str) -> None:
        super().__init__(
            f"Volume attachment could not be found with filter: attachment_id = {attachment_id}."
        )


class MetadataNotFound(VolumeError):
    """The volume or snapshot (`what`) has no metadata with this key."""

    def __init__(self, what: str, its_id: str, key: str) -> None:
        super().__init__(f"{what} {its_id} has no metadata with key {key}.")


class ImageMetadataNotFound(VolumeError):
    """The volume has no metadata of an image, or not this key."""

    def __init__(self, volume_id: str) -> None:
        super().__init__(f"Glance metadata for volume/snapshot {volume_id} cannot be found.")


class Conflict(VolumeError):
    """Somebody else's use of the volume forbids it."""


class WrongStatus(VolumeError):
    """The volume or snapshot is in a status (`status`) that does not allow what was asked."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class VolumesUnavailable(VolumeError):
    """The volume service gave no answer; the same call may succeed later."""


class VolumeQuotaExceeded(VolumeError):
    """The project has no quota left.  `name` is the error's in Cinder, `text` what it says."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class UnknownZone(VolumeError):
    """No volume can be made in the availability zone that was asked for."""

    def __init__(self, availability_zone: str) -> None:
        super().__init__(f"Availability zone '{availability_zone}' is invalid.")


class NoRoom(VolumeError):
    """The back end has not the space that is needed."""


class InvalidVolume(VolumeError):
    """What was asked can't be done to this volume."""


class InvalidSnapshot(VolumeError):
    """What was asked can't be done to this snapshot."""


class InvalidInput(VolumeError):
    """What was asked for makes no sense."""


class Malformed(VolumeError):
    """The request can't be understood."""

    def __init__(self) -> None:
        super().__init__(
            "The server could not comply with the request since it is either malformed or "
            "otherwise incorrect."
        )


class TypeNotFound(VolumeError):
    """There is no such volume type."""
