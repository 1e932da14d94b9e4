"""What the engine raises.  A message says what happened, to which object, and what to do now."""

import struct


class EngineError(Exception):
    """The base of all of the engine's errors."""


class DamagedObject(EngineError):
    """An object of the repository is not what was written: cut, changed, swapped or missing."""


# What taking apart bytes raises that are not made as they should be: JSON, columns, structures.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, struct.error)


class WrongKey(EngineError):
    """The key manager's key is not the one that this repository was made with."""


class KeyDestroyed(EngineError):
    """The keys of the domain were destroyed on purpose: nobody can read its data any more."""


class NotARepository(EngineError):
    """The store holds no repository, or one of a version or with features unknown here."""


class LedgerMissing(EngineError):
    """What was asked needs the repository's ledger, and it was opened without one."""


class LedgerBehind(EngineError):
    """The store knows more than the ledger, which must have been put back to an older state."""


class SessionLost(EngineError):
    """The session was taken over or given up by somebody else: what it wrote is no backup."""


class BackupGone(EngineError):
    """There is no such backup (any more)."""


class SourceError(EngineError):
    """The volume that is backed up could not be read."""


class TargetError(EngineError):
    """The volume that is restored to could not be written."""


class Interrupted(EngineError):
    """The caller's `checkpoint` asked the work to stop; nothing that it wrote is referred to."""
