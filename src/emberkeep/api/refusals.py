"""What the services refuse, as statuses of HTTP.  The messages go to the client word for word."""

from emberkeep.backups import errors as backups
from emberkeep.volumes import errors as volumes

STATUS: dict[type[Exception], int] = {
    backups.BackupNotFound: 404,
    backups.ServiceNotFound: 404,
    backups.ServiceUnavailable: 503,
    backups.MessageNotFound: 404,
    backups.QuotaExceeded: 413,
    backups.LimitBelowUsage: 400,
    backups.InvalidBackup: 400,
    backups.InvalidVolume: 400,
    backups.InvalidSnapshot: 400,
    backups.InvalidInput: 400,
    backups.Malformed: 400,
    backups.Mismatch: 400,
    volumes.VolumeNotFound: 404,
    volumes.SnapshotNotFound: 404,
    volumes.AttachmentNotFound: 404,
    volumes.MetadataNotFound: 404,
    volumes.ImageMetadataNotFound: 404,
    volumes.TypeNotFound: 404,
    volumes.Conflict: 409,
    volumes.VolumeQuotaExceeded: 413,
    volumes.VolumesUnavailable: 503,
    volumes.WrongStatus: 400,
    volumes.UnknownZone: 400,
    volumes.InvalidVolume: 400,
    volumes.InvalidSnapshot: 400,
    volumes.InvalidInput: 400,
    volumes.Malformed: 400,
}


def status_of(error: Exception) -> int | None:
    """The status for an error, by the nearest of its classes that the table has."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return None
