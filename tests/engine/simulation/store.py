"""A store in memory that may be as slow to settle as a store may be."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TypeVar

from tests.engine.simulation.names import Names
from tests.engine.simulation.network import Network
from tests.engine.simulation.scheduler import Scheduler

from emberkeep.engine.layout import FORMAT
from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError

T = TypeVar("T")

SETTLES = 60.0  # seconds


class Unreachable(StoreError):
    """The store did not answer."""


class SimulatedStore:
    """Objects in a dictionary.  The rules of `stores.base` hold, and nothing more.

    `names` sees what is about to change.
    """

    names: Names

    def __init__(
        self, network: Network, scheduler: Scheduler, random: Random, *, settles_within: float
    ) -> None:
        self.settles_within = settles_within
        self.objects: dict[str, bytes] = {}
        self._found_from: dict[str, float] = {}  # seconds; when a new object is surely found
        self._graves: dict[str, tuple[float, bytes]] = {}  # until when an old one may be found
        self._network = network
        self._scheduler = scheduler
        self._random = random

    def put(self, name: str, data: Buffer) -> None:
        copy = bytes(data)
        self._ask("put", name, lambda: self._put(name, copy))

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        data = self._ask("get", name, lambda: self._get(name))
        start = max(0, len(data) + offset) if offset < 0 else offset
        return data[start:] if length is None else data[start : start + length]

    def stat(self, name: str) -> StoredObject:
        return StoredObject(name, len(self._ask("stat", name, lambda: self._get(name))))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return iter(self._ask("list", prefix, lambda: self._list(prefix)))

    def delete(self, name: str) -> None:
        self._ask("delete", name, lambda: self._delete(name))

    def _ask(self, verb: str, name: str, effect: Callable[[], T]) -> T:
        if _is_old(name):
            return effect()
        return self._network.ask("store", verb, name, effect, Unreachable)

    def _put(self, name: str, data: bytes) -> None:
        if name in self.objects:
            if self.objects[name] != data:
                raise ObjectExists(f"{name} exists with other bytes")
            return
        self.objects[name] = data
        if _is_old(name):
            return
        self.names.check_put(name, data)
        if self.settles_within and self._random.random() < 0.3:
            wait = self._random.uniform(0, self.settles_within)
            self._found_from[name] = self._scheduler.now + wait
        self._graves.pop(name, None)

    def _delete(self, name: str) -> None:
        if name in self.objects:
            self.names.check_delete(name)
            until = self._scheduler.now + self._random.uniform(0, self.settles_within)
            self._graves[name] = (until, self.objects.pop(name))

    def _get(self, name: str) -> bytes:
        now = self._scheduler.now
        if name in self.objects:
            if self._found_from.get(name, 0) > now and self._random.random() < 0.5:
                raise ObjectNotFound(f"{name} is not there (yet)")
            return self.objects[name]
        until, data = self._graves.get(name, (0, b""))
        if until > now and self._random.random() < 0.3:
            return data
        raise ObjectNotFound(f"{name} is not there")

    def _list(self, prefix: str) -> Sequence[StoredObject]:
        now = self._scheduler.now
        found = {}
        for name, data in self.objects.items():
            if name.startswith(prefix):
                if self._found_from.get(name, 0) > now and self._random.random() < 0.5:
                    continue
                found[name] = len(data)
        for name, (until, data) in self._graves.items():
            if until > now and name.startswith(prefix) and self._random.random() < 0.3:
                found.setdefault(name, len(data))
        return [StoredObject(name, size) for name, size in sorted(found.items())]


def _is_old(name: str) -> bool:
    """What was put, and is seen, since long ago."""
    return name == FORMAT or "key/" in name
