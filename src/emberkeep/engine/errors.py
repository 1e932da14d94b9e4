"""What the engine raises.  A message says what happened, to which object, and what to do now."""


class EngineError(Exception):
    """The base of all of the engine's errors."""


class DamagedObject(EngineError):
    """An object of the repository is not what was written: cut, changed, swapped or missing."""


class WrongKey(EngineError):
    """The key manager's key is not the one that this repository was made with."""


class NotARepository(EngineError):
    """The store holds no repository, or one of a version or with features unknown here."""


class SourceError(EngineError):
    """The volume that is backed up could not be read."""


class TargetError(EngineError):
    """The volume that is restored to could not be written."""


class Interrupted(EngineError):
    """The caller's `checkpoint` asked the work to stop; nothing that it wrote is referred to."""
