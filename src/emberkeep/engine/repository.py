"""The repository: what a user of the engine works with.

One store holds one repository; a repository holds domains, each with keys of its own; a domain
holds backups that share chunks.  All methods may be called from many threads and processes at once,
except that `collect` must run alone in its domain (no `back_up` there meanwhile).
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from emberkeep.engine import collector, keys, layout, reader, roots, writer
from emberkeep.engine.collector import Collected
from emberkeep.engine.errors import DamagedObject, NotARepository, WrongKey
from emberkeep.engine.ids import ID_BYTES, DomainId, RootId, SessionId
from emberkeep.engine.keys import DomainKeys, MetadataKey, Random
from emberkeep.engine.protocols import KeyManager, Source, Target
from emberkeep.engine.roots import Root
from emberkeep.engine.uploads import Place
from emberkeep.engine.work import (
    Checkpoint,
    Progress,
    Report,
    Settings,
    uninterrupted,
    unwatched,
)
from emberkeep.engine.writer import Written
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectExists, ObjectNotFound

__all__ = [
    "Collected",
    "DomainId",
    "Progress",
    "Repository",
    "Root",
    "RootId",
    "SessionId",
    "Settings",
    "Written",
]

_FEATURES: list[str] = []


class Repository:
    """An open repository; see `create` and `open`."""

    def __init__(
        self,
        store: Store,
        key_manager: KeyManager,
        *,
        repository_id: str,
        metadata_key: MetadataKey,
        random: Random,
    ) -> None:
        self.id = repository_id
        self._store = store
        self._key_manager = key_manager
        self._metadata_key = metadata_key
        self._random = random
        self._domain_keys: dict[DomainId, DomainKeys] = {}
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls, store: Store, key_manager: KeyManager, *, random: Random = os.urandom
    ) -> "Repository":
        """Make a repository in an empty store; if another process was first, open that one."""
        repository_id = random(ID_BYTES).hex()
        key = random(keys.KEY_SIZE)
        context = keys.metadata_key_context(repository_id)
        content: dict[str, Any] = {
            "title": "emberkeep repository",
            "version": layout.VERSION,
            "repository": repository_id,
            "incarnation": 1,
            "features": _FEATURES,
            "cipher": keys.CIPHER,
            "metadata_key": key_manager.wrap(key, domain=None, context=context).hex(),
        }
        content["mac"] = MetadataKey(key).format_mac(content)
        with contextlib.suppress(ObjectExists):
            store.put(layout.FORMAT, json.dumps(content, indent=1).encode())
        return cls.open(store, key_manager, random=random)

    @classmethod
    def open(
        cls, store: Store, key_manager: KeyManager, *, random: Random = os.urandom
    ) -> "Repository":
        """Open the store's repository.

        Raises `NotARepository`, `WrongKey` and `DamagedObject`.
        """
        try:
            content = json.loads(store.get(layout.FORMAT))
            repository_id = str(content["repository"])
            wrapped = bytes.fromhex(content["metadata_key"])
            version, features, cipher = content["version"], content["features"], content["cipher"]
            mac = content.pop("mac")
        except ObjectNotFound as error:
            raise NotARepository("the store holds no repository") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedObject("format: it is damaged; bring it back from a copy") from error
        if version != layout.VERSION or features != _FEATURES or cipher != keys.CIPHER:
            raise NotARepository(
                f"the repository is of version {version} with features {features} and cipher "
                f"{cipher}, which this release does not know; take a newer one"
            )
        try:
            key = key_manager.unwrap(
                wrapped, domain=None, context=keys.metadata_key_context(repository_id)
            )
        except WrongKey as error:
            raise WrongKey(
                f"repository {repository_id} was made with another key; import that one "
                "(emberkeep key import)"
            ) from error
        metadata_key = MetadataKey(key)
        if metadata_key.format_mac(content) != mac:
            raise DamagedObject("format: it was changed; bring it back from a copy")
        return cls(
            store,
            key_manager,
            repository_id=repository_id,
            metadata_key=metadata_key,
            random=random,
        )

    def create_domain(self) -> DomainId:
        """Make a domain, its first data key and its id key."""
        domain = DomainId(self._random(ID_BYTES).hex())
        wrapped = keys.wrap_domain_key(
            self._key_manager,
            self.id,
            domain,
            1,
            self._random(keys.KEY_SIZE),
            self._random(keys.KEY_SIZE),
        )
        self._store.put(layout.key_name(domain, 1, 1), wrapped)
        return domain

    def domains(self) -> list[DomainId]:
        """The domains that have keys, from a listing."""
        keys_found = (layout.parse_key_name(item.name) for item in self._store.list("d/"))
        return sorted({found[0] for found in keys_found if found is not None})

    def new_session(self) -> SessionId:
        """An id for one attempt of one backup: drawn by the process that encrypts, never reused."""
        return SessionId(self._random(ID_BYTES).hex())

    def back_up(
        self,
        source: Source,
        *,
        domain: DomainId,
        session: SessionId,
        description: Mapping[str, Any],
        base: RootId | None = None,
        settings: Settings | None = None,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Written:
        """Back up all of the source under the root id `session`, sharing with `base`.

        `description` (JSON) is kept, encrypted, in the root.  `checkpoint` is called at least
        between segments and may raise anything; then, as after every error, no root was put.
        Raises `DamagedObject` if the base's root can't be read in this domain: a pointer never
        leaves its domain.
        """
        domain_keys = self._keys(domain)
        number = domain_keys.newest
        place = Place(
            store=self._store,
            domain=domain,
            session=session,
            metadata_key=self._metadata_key,
            keys=domain_keys,
            key=number,
            record_cipher=domain_keys.record_cipher(number, session),
            node_cipher=self._metadata_key.node_cipher(domain, session),
            random=self._random,
        )
        return writer.back_up(
            place,
            source,
            base=None if base is None else self.describe(domain, base),
            description=description,
            volume=str(description.get("volume_id", "")),
            settings=settings or Settings(),
            report=progress,
            checkpoint=checkpoint,
        )

    def describe(self, domain: DomainId, root: RootId, *, sha256: str | None = None) -> Root:
        """Read and authenticate a root.  Raises `DamagedObject`, also if it is not `sha256`."""
        found = roots.read(self._store, self._metadata_key, self._keys(domain), root)
        if sha256 is not None and found.sha256 != sha256:
            raise DamagedObject(
                f"{layout.root_name(domain, root)}: it is not the object that was written"
            )
        return found

    def restore(
        self,
        domain: DomainId,
        root: RootId,
        target: Target,
        *,
        sha256: str | None = None,
        settings: Settings | None = None,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> None:
        """Write a backup to the target, all of it verified.

        Raises `DamagedObject` (naming object and root), `TargetError` and what `checkpoint` raises;
        then the target holds some of the backup and some of what it held.
        """
        reader.restore(
            self._store,
            self._metadata_key,
            self._keys(domain),
            self.describe(domain, root, sha256=sha256),
            target,
            settings=settings or Settings(),
            report=progress,
            checkpoint=checkpoint,
        )

    def delete_root(self, domain: DomainId, root: RootId) -> None:
        """Remove a backup's root; its segments go with a collection."""
        self._store.delete(layout.root_name(domain, root))

    def roots(self, domain: DomainId) -> Iterator[RootId]:
        """The roots that the store lists."""
        for item in self._store.list(f"d/{domain}/r/"):
            yield RootId(item.name.rpartition("/")[2])

    def collect(
        self,
        domain: DomainId,
        *,
        live: Callable[[], Collection[RootId]],
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Collected:
        """Remove the segments that none of the roots `live()` reaches; see `collector`."""
        return collector.collect(
            self._store,
            self._metadata_key,
            domain,
            live=live,
            report=progress,
            checkpoint=checkpoint,
        )

    def _keys(self, domain: DomainId) -> DomainKeys:
        """The domain's keys, unwrapped once.  Raises `DamagedObject` and `WrongKey`."""
        with self._lock:
            if domain not in self._domain_keys:
                self._domain_keys[domain] = self._read_keys(domain)
            return self._domain_keys[domain]

    def _read_keys(self, domain: DomainId) -> DomainKeys:
        newest: dict[int, int] = {}
        for item in self._store.list(f"d/{domain}/key/"):
            if found := layout.parse_key_name(item.name):
                _domain, number, wrapping = found
                newest[number] = max(wrapping, newest.get(number, 0))
        if not newest:
            raise DamagedObject(f"d/{domain}/key/: no keys; nothing of the domain can be read")
        data: dict[int, bytes] = {}
        identity = b""
        for number, wrapping in newest.items():
            wrapped = self._store.get(layout.key_name(domain, number, wrapping))
            data[number], identity = keys.unwrap_domain_key(
                self._key_manager, self.id, domain, number, wrapped
            )
        return DomainKeys(domain, data, identity)
