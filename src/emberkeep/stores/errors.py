"""What a store may raise."""


class StoreError(Exception):
    """The store could not do what was asked; the message says what, and what to do now."""


class ObjectNotFound(StoreError):
    """There is no object of this name."""


class ObjectExists(StoreError):
    """The name is taken by other bytes."""


class StoreFull(StoreError):
    """The store has no room for the object."""


class InvalidName(StoreError):
    """The name is not made as `stores.base` says."""
