"""The keys of a repository's domains: made, read, wrapped anew and destroyed in its store.

Invariants
* once the object `destroyed` is there, no key of its domain is handed out or made, also by
  processes that had it;
* a number of a data key is used once: of two processes that make the same, the first one counts.
"""

import threading
from collections.abc import Callable, Iterable
from itertools import count

from emberkeep.engine import keys, layout, wrapping
from emberkeep.engine.errors import DamagedObject, KeyDestroyed, WrongKey
from emberkeep.engine.ids import ID_BYTES, DomainId
from emberkeep.engine.keys import DomainKeys, MetadataKey, Random
from emberkeep.engine.protocols import KeyManager
from emberkeep.engine.wrapping import WrappedKey
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectExists, ObjectNotFound


class Keyring:
    """Keeps the domains' keys in memory once they were unwrapped.  For many threads."""

    def __init__(
        self,
        store: Store,
        key_manager: KeyManager,
        repository: str,
        metadata_key: MetadataKey,
        *,
        random: Random,
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._manager = key_manager
        self._repository = repository
        self._metadata_key = metadata_key
        self._random = random
        self._sleep = sleep
        self._known: dict[DomainId, DomainKeys] = {}
        self._lock = threading.Lock()

    def create_domain(self) -> DomainId:
        """Make a domain, its first data key and its id key."""
        domain = DomainId(self._random(ID_BYTES).hex())
        data, identity = self._random(keys.KEY_SIZE), self._random(keys.KEY_SIZE)
        self._key(domain, 1).put(self._manager, keys.encode_domain_key(data, identity))
        return domain

    def add_data_key(self, domain: DomainId) -> int:
        """Make a domain's next data key; its number.  Raises what `current` raises."""
        known = self.current(domain)
        number = known.newest + 1
        key = self._key(domain, number)
        plain = keys.encode_domain_key(self._random(keys.KEY_SIZE), known.identity)
        try:
            key.put(self._manager, plain)
        except ObjectExists:
            return number
        try:
            self._check(domain)
        except KeyDestroyed:
            self._remove(domain, range(1, number + 1))
            raise
        return number

    def domains(self) -> list[DomainId]:
        """The domains that have keys or had them, from a listing."""
        found = set()
        for item in self._store.list("d/"):
            key = layout.parse_key_name(item.name)
            found.add(layout.parse_destroyed_name(item.name) if key is None else key[0])
        return sorted(domain for domain in found if domain is not None)

    def known(self, domain: DomainId) -> DomainKeys:
        """The domain's keys, as they were read last.

        Raises `KeyDestroyed`, `WrongKey` and `DamagedObject`.
        """
        with self._lock:
            found = self._known.get(domain)
        return found or self.current(domain)

    def current(self, domain: DomainId) -> DomainKeys:
        """The domain's keys as the store has them now.  Raises what `known` raises."""
        try:
            self._check(domain)
        except KeyDestroyed:
            self.forget(domain)
            raise
        with self._lock:
            known = self._known.get(domain)
            found = self._read(domain, known)
            self._known[domain] = found
            return found

    def forget(self, domain: DomainId) -> None:
        """Drop the domain's keys from memory."""
        with self._lock:
            self._known.pop(domain, None)

    def rewrap(self, new: KeyManager, domains: Iterable[DomainId]) -> int:
        """Wrap all keys anew; see `Repository.rewrap`."""
        wrapped = 0
        for domain in sorted({*self.domains(), *domains}):
            if self._destroyed(domain):
                continue
            for number in count(1):
                key = self._key(domain, number)
                if number > 1 and not key.there():
                    break
                wrapped += key.rewrap(self._manager, new)
                if self._destroyed(domain):  # meanwhile
                    self._remove(domain, range(1, number + 1))
                    break
        key = wrapping.metadata_key(self._store, self._repository, self._sleep)
        wrapped += key.rewrap(self._manager, new)
        self._manager = new
        return wrapped

    def condemn(self, domain: DomainId) -> None:
        """Hand out the domain's keys no more, anywhere.  Raises `DamagedObject` if it has none."""
        if not any(True for _item in self._store.list(f"d/{domain}/key/")):
            raise DamagedObject(f"d/{domain}/key/: no keys; there is no such domain")
        name = layout.destroyed_name(domain)
        if not self._destroyed(domain):
            sealed = keys.seal(self._metadata_key.object_key(name), b"", self._random)
            try:
                self._store.put(name, sealed)
            except ObjectExists:
                self._destroyed(domain)  # by somebody else
        self.forget(domain)

    def remove(self, domain: DomainId) -> None:
        """Remove the keys of a condemned domain."""
        listed = (layout.parse_key_name(i.name) for i in self._store.list(f"d/{domain}/key/"))
        numbers = [key[1] for key in listed if key is not None]
        self._remove(domain, range(1, max(numbers, default=1) + 1))

    def _remove(self, domain: DomainId, numbers: Iterable[int]) -> None:
        for number in numbers:  # a listing may be stale
            self._store.delete(f"{layout.key_prefix(domain, number)}1")
        for item in self._store.list(f"d/{domain}/key/"):
            if layout.parse_key_name(item.name) is not None:
                self._store.delete(item.name)

    def _check(self, domain: DomainId) -> None:
        if self._destroyed(domain):
            raise KeyDestroyed(
                f"the key of domain {domain} was destroyed: its backups can't be read any more, "
                "nor any be made; what is left to do is to delete them and collect"
            )

    def _destroyed(self, domain: DomainId) -> bool:
        name = layout.destroyed_name(domain)
        try:
            sealed = self._store.get(name)
        except ObjectNotFound:
            return False
        keys.unseal(self._metadata_key.object_key(name), sealed, name)
        return True

    def _read(self, domain: DomainId, known: DomainKeys | None) -> DomainKeys:
        listed = (layout.parse_key_name(i.name) for i in self._store.list(f"d/{domain}/key/"))
        numbers = {key[1] for key in listed if key is not None} or {1}
        data = dict(known.data) if known is not None else {}
        identity = known.identity if known is not None else None
        failure: WrongKey | DamagedObject | None = None
        for number in sorted(numbers - data.keys()):
            try:
                data[number], identity = self._open(domain, number)
            except (WrongKey, DamagedObject) as error:
                failure = error  # another key may be all that is needed
        if identity is None:
            assert failure is not None
            raise failure
        return DomainKeys(
            domain,
            data,
            identity,
            unopened=frozenset(numbers - data.keys()),
            find=lambda number: self._find(domain, number),
        )

    def _find(self, domain: DomainId, number: int) -> bytes:
        if not self._key(domain, number).there():
            raise KeyError(number)
        return self._open(domain, number)[0]

    def _open(self, domain: DomainId, number: int) -> tuple[bytes, bytes]:
        key = self._key(domain, number)
        return keys.decode_domain_key(key.open(self._manager), f"{key.prefix}*")

    def _key(self, domain: DomainId, number: int) -> WrappedKey:
        return wrapping.domain_key(self._store, self._repository, domain, number, self._sleep)
