"""A store in memory, for tests and as the shortest reading of the contract."""

import threading
from collections.abc import Iterator

from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound
from emberkeep.stores.names import checked


class MemoryStore:
    """Objects in a dictionary; as durable as its process."""

    settles_within = 0.0

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, data: Buffer) -> None:
        checked(name)
        copy = bytes(data)
        with self._lock:
            if self._objects.setdefault(name, copy) != copy:
                raise ObjectExists(f"{name} exists with other bytes")

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        data = self._object(name)
        start = max(0, len(data) + offset) if offset < 0 else offset
        return data[start:] if length is None else data[start : start + length]

    def stat(self, name: str) -> StoredObject:
        return StoredObject(name, len(self._object(name)))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._lock:
            found = sorted(item for item in self._objects.items() if item[0].startswith(prefix))
        return iter([StoredObject(name, len(data)) for name, data in found])

    def delete(self, name: str) -> None:
        with self._lock:
            self._objects.pop(checked(name), None)

    def _object(self, name: str) -> bytes:
        with self._lock:
            try:
                return self._objects[checked(name)]
            except KeyError:
                raise ObjectNotFound(f"{name} is not there") from None
