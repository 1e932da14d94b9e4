"""Wrapped keys in the store: numbered wrappings, of which the highest that opens counts.

A wrapping is put once.  To wrap a key anew, the next number is put and read back before those below
it are removed, so the key can be opened at every moment, wherever that is interrupted.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from emberkeep.engine import keys, layout
from emberkeep.engine.errors import DamagedObject, WrongKey
from emberkeep.engine.ids import DomainId
from emberkeep.engine.protocols import KeyManager
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectExists, ObjectNotFound

_FIRST_WAIT = 0.1  # seconds
_TRIES = 10  # to see a store in which others wrap and remove at the same time


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One key of a repository, with all of its wrappings: `prefix` and a number from 1 on."""

    store: Store
    prefix: str
    domain: DomainId | None
    context: bytes
    sleep: Callable[[float], None]

    def put(self, manager: KeyManager, plain: bytes) -> None:
        """Put the first wrapping.  Raises `ObjectExists`."""
        self.store.put(self._name(1), self._wrap(manager, plain))

    def there(self) -> bool:
        """Whether the key has any wrapping."""
        if self._numbers():
            return True
        try:
            self.store.stat(self._name(1))  # a listing may be stale
        except ObjectNotFound:
            return False
        return True

    def open(self, manager: KeyManager) -> bytes:
        """The key.  Raises `WrongKey` if no wrapping opens, `DamagedObject` if there is none."""
        return self._newest(manager)[1]

    def rewrap(self, old: KeyManager, new: KeyManager) -> bool:
        """Leave one wrapping, which `new` opens; False if the highest one did already.

        Raises what `open` raises, and `DamagedObject` if what was put can't be read back: then
        nothing was removed.
        """
        for _try in range(_TRIES):
            number, plain, manager = self._newest_of(old, new)
            top = max(number, *self._numbers(), 0)
            if manager is new and number == top:
                self._remove_below(number, plain, old)
                return False
            try:
                self.store.put(self._name(top + 1), self._wrap(new, plain))
            except ObjectExists:
                continue  # somebody else does the same
            self._read_back(top + 1, new, plain)
            self._remove_below(top + 1, plain, old)
            return True
        raise WrongKey(f"{self.prefix}: somebody else wraps this key anew; try again")

    def _newest_of(self, old: KeyManager, new: KeyManager) -> tuple[int, bytes, KeyManager]:
        try:
            return *self._newest(new), new
        except WrongKey:
            return *self._newest(old), old

    def _newest(self, manager: KeyManager) -> tuple[int, bytes]:
        """The highest wrapping that opens, and the key."""
        left, wait, tries = self.store.settles_within, _FIRST_WAIT, _TRIES
        while True:
            failure: WrongKey | None = None
            vanished = False
            listed = self._numbers()
            # A listing may be stale: the one after it may be there, too.
            for number in (*sorted(listed, reverse=True), max(listed, default=0) + 1):
                try:
                    return number, self._unwrap(manager, self.store.get(self._name(number)))
                except ObjectNotFound:
                    vanished |= number in listed
                except WrongKey as error:
                    failure = failure or error
            tries -= 1
            if vanished and tries:
                continue
            if failure is not None:
                raise WrongKey(f"{self.prefix}*: {failure}") from failure
            if left <= 0:
                raise DamagedObject(f"{self.prefix}*: no keys; what they encrypted can't be read")
            self.sleep(min(wait, left))
            left, wait = left - wait, 2 * wait

    def _read_back(self, number: int, manager: KeyManager, plain: bytes) -> None:
        left, wait = self.store.settles_within, _FIRST_WAIT
        while True:
            try:
                found = self._unwrap(manager, self.store.get(self._name(number)))
                break
            except (ObjectNotFound, WrongKey) as error:
                if left <= 0:
                    raise DamagedObject(
                        f"{self._name(number)} was put and can't be read back ({error}); the "
                        "wrappings before it were kept"
                    ) from error
            self.sleep(min(wait, left))
            left, wait = left - wait, 2 * wait
        self._compare(number, found, plain)

    def _remove_below(self, number: int, plain: bytes, manager: KeyManager) -> None:
        for other in self._numbers():
            if other < number:
                with contextlib.suppress(ObjectNotFound, WrongKey):
                    found = self._unwrap(manager, self.store.get(self._name(other)))
                    self._compare(number, found, plain)
                self.store.delete(self._name(other))

    def _compare(self, number: int, found: bytes, plain: bytes) -> None:
        if found != plain:
            raise DamagedObject(
                f"{self._name(number)} holds another key than the wrappings before it, which were "
                "kept; report this defect"
            )

    def _numbers(self) -> list[int]:
        """The numbers that the store lists."""
        found = (item.name.removeprefix(self.prefix) for item in self.store.list(self.prefix))
        return [int(text) for text in found if text.isdecimal() and text[0] != "0"]

    def _name(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def _wrap(self, manager: KeyManager, plain: bytes) -> bytes:
        return manager.wrap(plain, domain=self.domain, context=self.context)

    def _unwrap(self, manager: KeyManager, wrapped: bytes) -> bytes:
        return manager.unwrap(wrapped, domain=self.domain, context=self.context)


def metadata_key(store: Store, repository: str, sleep: Callable[[float], None]) -> WrappedKey:
    """A repository's metadata key."""
    prefix, context = layout.metadata_key_prefix(repository), keys.metadata_key_context(repository)
    return WrappedKey(store, prefix, None, context, sleep)


def domain_key(
    store: Store, repository: str, domain: DomainId, number: int, sleep: Callable[[float], None]
) -> WrappedKey:
    """A domain's `number`-th data key, with its id key."""
    context = keys.domain_key_context(repository, domain, number)
    return WrappedKey(store, layout.key_prefix(domain, number), domain, context, sleep)
