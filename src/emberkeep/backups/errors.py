"""What can be wrong with what is asked of backups, in the words that clients know."""


class BackupError(Exception):
    """The base of all of this package's errors."""


class BackupNotFound(BackupError):
    """There is no such backup, or the caller may not see it."""

    def __init__(self, backup_id: str) -> None:
        super().__init__(f"Backup {backup_id} could not be found.")


class InvalidBackup(BackupError):
    """The backup is not in a state that allows what was asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid backup: {reason}")


class InvalidVolume(BackupError):
    """The volume is not in a state that allows what was asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid volume: {reason}")


class InvalidSnapshot(BackupError):
    """The snapshot is not in a state that allows what was asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid snapshot: {reason}")


class InvalidInput(BackupError):
    """What was asked for makes no sense."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid input received: {reason}")


class Malformed(BackupError):
    """The request can't be understood."""

    def __init__(self) -> None:
        super().__init__(
            "The server could not comply with the request since it is either malformed or "
            "otherwise incorrect."
        )


class Mismatch(BackupError):
    """The record is of another backup than the one that the request names."""

    def __init__(self) -> None:
        super().__init__("Request body and URI mismatch")


class QuotaExceeded(BackupError):
    """The project has no quota left for the backup."""


class LimitBelowUsage(BackupError):
    """A limit is to be less than what is there already."""

    def __init__(self, resource: str, used: int, limit: int) -> None:
        super().__init__(
            f"Quota {resource} limit must be equal or greater than existing resources. Current "
            f"usage is {used} and the requested limit is {limit}."
        )


class MessageNotFound(BackupError):
    """There is no such message, or the caller may not see it."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"Message {message_id} could not be found.")


class ServiceNotFound(BackupError):
    """No service can do this in the backup's zone."""

    def __init__(self, binary: str = "cinder-backup") -> None:
        super().__init__(f"Service {binary} could not be found.")


class ServiceUnavailable(ServiceNotFound):
    """No service at all can take the imported record."""
