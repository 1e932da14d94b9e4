"""What works at a store and what does not, found out by doing it, in words for an operator.

Invariant: what a check puts lies under `check/` and is removed again.
"""

import os
import secrets
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from itertools import count, takewhile
from typing import Protocol, runtime_checkable

from emberkeep.stores import directory
from emberkeep.stores.base import Store, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError
from emberkeep.stores.findings import Finding, Result
from emberkeep.stores.posix import PosixStore

HOME = "check"
_SMALL = 1 << 10
_LARGE = 4 << 20
_SECONDS = 1.0  # of measuring, each way
_THREADS = 4
_MOST = 64  # large objects
_ROUNDS = 5  # of small ones
_SLOW = 1.0  # seconds for a small object
_PATIENCE = 5.0  # seconds that a listing may take to show an object


class _Wrong(Exception):
    """It works, but not as it must."""


@runtime_checkable
class Reachable(Protocol):
    """A store that can tell of the way to it."""

    def reached(self) -> Iterator[Finding]:
        """Yield the steps, ending with an `UNREACHABLE` one if they can't be gone to the end."""


def check(
    store: Store,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Finding, None, None]:
    """Look at the store from its network or directory on; ends where it can't be reached."""
    with directory.without_new(store.directory) if isinstance(store, PosixStore) else nullcontext():
        for finding in store.reached() if isinstance(store, Reachable) else ():
            yield finding
            if finding.result == Result.UNREACHABLE:
                return
        yield from _verbs(store, clock, sleep)


def _verbs(
    store: Store, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[Finding]:
    """Do everything that the engine does with a store, and measure it, in some seconds."""
    trial = _Trial(store, clock, sleep)
    try:
        put = _tried("put", trial.put)
        yield put
        if put.result == Result.WRONG:
            return
        for step, ask in (
            ("get", trial.get),
            ("ranges", trial.ranges),
            ("stat", trial.stat),
            ("list", trial.listed),
            ("write once", trial.write_once),
            ("delete", trial.delete),
            ("latency", trial.latency),
            ("throughput", trial.throughput),
        ):
            yield _tried(step, ask)
    finally:
        left = trial.clean()
    if left:
        yield Finding("cleaning", Result.WRONG, left)


def _tried(step: str, ask: Callable[[], str | Finding]) -> Finding:
    try:
        found = ask()
    except (StoreError, _Wrong) as error:
        return Finding(step, Result.WRONG, str(error))
    return Finding(step, Result.FINE, found) if isinstance(found, str) else found


class _Trial:
    """The objects of one check."""

    def __init__(
        self, store: Store, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._home = f"{HOME}/{secrets.token_hex(8)}"
        self._name = f"{self._home}/object"
        self._data = os.urandom(_SMALL)
        self._made: list[str] = []

    def put(self) -> str:
        self._put(self._name, self._data)
        self._put(f"{self._home}/empty", b"")
        return "objects are stored"

    def get(self) -> str:
        try:
            data = self._store.get(self._name)
        except ObjectNotFound as error:
            if self._store.settles_within == 0:
                raise _Wrong(
                    "what was just put is not found, though it must be at once here; set "
                    "store_settles_within to the seconds that this store may need"
                ) from error
            return self._found_later()
        self._same(data, self._data)
        self._same(self._store.get(f"{self._home}/empty"), b"")
        return "what was put is read back at once"

    def _found_later(self) -> str:
        begun = self._clock()
        for wait in takewhile(
            lambda _wait: self._clock() - begun <= self._store.settles_within,
            (min(0.1 * 2**n, 5.0) for n in count()),
        ):
            self._sleep(wait)
            with suppress(ObjectNotFound):
                self._same(self._store.get(self._name), self._data)
                return f"what was put was found after {self._clock() - begun:.1f} s"
        raise _Wrong(f"what was put was not found within {self._store.settles_within:.0f} s")

    def ranges(self) -> str:
        for offset, length in ((0, 1), (7, 100), (500, None), (-100, None), (_SMALL - 1, 9)):
            start = offset if offset >= 0 else _SMALL + offset
            wanted = self._data[start:] if length is None else self._data[start : start + length]
            self._same(self._store.get(self._name, offset=offset, length=length), wanted)
        self._same(self._store.get(self._name, offset=_SMALL), b"")
        return "parts of objects are read, from the start and from the end"

    def stat(self) -> str:
        if self._store.stat(self._name).size != _SMALL:
            raise _Wrong("the size that it tells is not the object's")
        with suppress(ObjectNotFound):
            self._store.stat(f"{self._home}/nothing")
            raise _Wrong("it tells a size of an object that was never put")
        return "sizes are told"

    def listed(self) -> str | Finding:
        wanted = [StoredObject(f"{self._home}/empty", 0), StoredObject(self._name, _SMALL)]
        begun, waited = self._clock(), 0.0
        while (found := list(self._store.list(f"{self._home}/"))) != wanted:
            waited = self._clock() - begun
            if waited > _PATIENCE:
                raise _Wrong(
                    f"a listing shows {len(found)} of the 2 objects that were put {waited:.0f} s "
                    "ago, or not as they are; if it lags that far, a rebuild may miss backups"
                )
            self._sleep(0.2)
        if waited:
            text = f"a listing showed after {waited:.1f} s what was put; a rebuild should wait"
            return Finding("list", Result.NOTE, text)
        return "listings show at once what was put, in order"

    def write_once(self) -> str:
        self._store.put(self._name, self._data)  # the same bytes again
        try:
            self._store.put(self._name, self._data[::-1])
        except ObjectExists:
            self._same(self._store.get(self._name), self._data)
            return "a name that is taken is refused to other bytes"
        raise _Wrong(
            "a name that was taken took other bytes; such a store can lose backups, take one that "
            "knows If-None-Match"
        )

    def delete(self) -> str:
        self._store.delete(self._name)
        self._store.delete(self._name)
        begun = self._clock()
        while (waited := self._clock() - begun) <= _PATIENCE:
            try:
                self._store.stat(self._name)
            except ObjectNotFound:
                return "objects are removed"
            self._sleep(0.2)
        raise _Wrong(
            f"an object is still there {waited:.0f} s after it was removed, so expired backups may "
            "keep their room; look for versioning, locks and caches of the store"
        )

    def latency(self) -> Finding:
        puts, gets = [], []
        for number in range(_ROUNDS):
            name = f"{self._home}/small-{number}"
            begun = self._clock()
            self._put(name, self._data)
            middle = self._clock()
            self._store.get(name)
            puts.append(middle - begun)
            gets.append(self._clock() - middle)
        put, get = statistics.median(puts), statistics.median(gets)
        text = f"{_milliseconds(put)} to put an object of 1 KiB, {_milliseconds(get)} to get it"
        if max(put, get) < _SLOW:
            return Finding("latency", Result.FINE, text)
        return Finding("latency", Result.NOTE, f"{text}; backups of little change will be slow")

    def throughput(self) -> str:
        data = os.urandom(_LARGE)
        names = [f"{self._home}/large-{number}" for number in range(_MOST)]

        def get(name: str) -> None:
            self._same(self._store.get(name), data)

        stored, putting = self._at_once(lambda name: self._put(name, data), names)
        got, getting = self._at_once(get, stored)
        return (
            f"{_mib_a_second(stored, putting)} to put, {_mib_a_second(got, getting)} to get "
            f"objects of 4 MiB, {_THREADS} at once"
        )

    def _at_once(self, do: Callable[[str], None], names: list[str]) -> tuple[list[str], float]:
        """Do it until the time is over; return for which names, and the seconds."""
        begun = self._clock()
        done: list[str] = []
        waiting = iter(names)

        def work(_thread: int) -> None:
            for name in waiting:
                do(name)
                done.append(name)
                if self._clock() - begun > _SECONDS:
                    return

        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(work, range(_THREADS)))
        return done, self._clock() - begun

    def clean(self) -> str | None:
        """Remove all that was put; say what could not be."""
        left = []
        for name in self._made:
            try:
                self._store.delete(name)
            except StoreError as error:
                left.append(error)
        if not left:
            return None
        return (
            f"{len(left)} objects under {self._home}/ could not be removed ({left[0]}); remove "
            "them, and let the service's user remove objects, or expired backups keep their room"
        )

    def _put(self, name: str, data: bytes) -> None:
        self._made.append(name)  # before, for it may be stored though it fails
        self._store.put(name, data)

    def _same(self, data: bytes, wanted: bytes) -> None:
        if data != wanted:
            raise _Wrong(f"{len(data)} bytes were read that are not the {len(wanted)} put there")


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def _mib_a_second(names: list[str], seconds: float) -> str:
    return f"{len(names) * _LARGE / 2**20 / max(seconds, 0.001):,.0f} MiB/s"
