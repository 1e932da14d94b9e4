"""The repository: what a user of the engine works with.

One store holds one repository; a repository holds domains, each with keys of its own; a domain
holds backups that share chunks.  All methods may be called from many threads and processes at once.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emberkeep.engine import (
    collector,
    damage,
    keys,
    layout,
    reader,
    roots,
    settling,
    verifier,
    writer,
)
from emberkeep.engine.collector import SPARSE, Collected
from emberkeep.engine.errors import (
    BackupGone,
    DamagedObject,
    LedgerBehind,
    LedgerMissing,
    NotARepository,
    SessionLost,
    WrongKey,
)
from emberkeep.engine.ids import ID_BYTES, DomainId, RootId, SessionId
from emberkeep.engine.keys import DomainKeys, MetadataKey, Random
from emberkeep.engine.ledger import Begun, Ledger, State
from emberkeep.engine.protocols import KeyManager, Source, Target
from emberkeep.engine.roots import Root
from emberkeep.engine.settling import Settled
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.uploads import Place
from emberkeep.engine.verifier import Verified
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
    "Begun",
    "Collected",
    "DomainId",
    "Ledger",
    "Progress",
    "Repository",
    "Root",
    "RootId",
    "SessionId",
    "Settings",
    "Settled",
    "Verified",
    "Written",
]

_FEATURES: list[str] = []

Ledgers = Callable[[str], Ledger | None]  # the ledger of a repository's id


def _no_ledger(_repository: str) -> None:
    return None


class Repository:
    """An open repository; see `create` and `open`."""

    def __init__(
        self,
        store: Store,
        key_manager: KeyManager,
        *,
        repository_id: str,
        metadata_key: MetadataKey,
        ledger: Ledger | None,
        random: Random,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.id = repository_id
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep
        self._store = store
        self._key_manager = key_manager
        self._metadata_key = metadata_key
        self._random = random
        self._domain_keys: dict[DomainId, DomainKeys] = {}
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        store: Store,
        key_manager: KeyManager,
        *,
        ledger: Ledgers = _no_ledger,
        random: Random = os.urandom,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
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
        return cls.open(store, key_manager, ledger=ledger, random=random, clock=clock, sleep=sleep)

    @classmethod
    def open(
        cls,
        store: Store,
        key_manager: KeyManager,
        *,
        ledger: Ledgers = _no_ledger,
        random: Random = os.urandom,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Repository":
        """Open the store's repository.

        `ledger` gives the ledger of a repository's id; without one, backups can only be read.
        `random` draws bytes, `clock` and `sleep` are in seconds.
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
            ledger=ledger(repository_id),
            random=random,
            clock=clock,
            sleep=sleep,
        )

    @property
    def ledger(self) -> Ledger:
        """Raises `LedgerMissing` if the repository was opened without one."""
        if self._ledger is None:
            raise LedgerMissing(
                "the repository was opened without its database, so it can only be read"
            )
        return self._ledger

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
        description: Mapping[str, Any],
        base: RootId | None = None,
        predecessor: SessionId | None = None,
        session: SessionId | None = None,
        settings: Settings | None = None,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Written:
        """Begin a session, `write`, and commit: a backup with one reference.

        `predecessor`: a session of the same backup that did not end.  After an error the session is
        left as it is, so that another one may take it over; `Ledger.abort` gives it up.
        Raises what `write` raises, and `SessionLost` if somebody else ended the session.
        """
        session = session or self.new_session()
        begun = self.ledger.begin(session, domain=domain, base=base, predecessor=predecessor)
        written = self.write(
            source,
            domain=domain,
            session=session,
            begun=begun,
            description=description,
            settings=settings,
            progress=progress,
            checkpoint=checkpoint,
        )
        self._commit(domain, written)
        self.examine(domain, written)
        return written

    def write(
        self,
        source: Source,
        *,
        domain: DomainId,
        session: SessionId,
        begun: Begun,
        description: Mapping[str, Any],
        settings: Settings | None = None,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Written:
        """Write all of the source under the root id `session`, which the ledger has `begun`.

        It is no backup before the ledger's commit of `Written.base`, `pins` and `uses`.
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
            clock=self._clock,
        )
        bad = damage.in_ledger(self.ledger.bad(domain))
        return writer.back_up(
            place,
            self._reader(domain),
            source,
            begun=begun,
            base=None if begun.base is None else self.describe(domain, begun.base),
            bad=damage.read(self._store, self._metadata_key, bad),
            description=description,
            volume=str(description.get("volume_id", "")),
            settings=settings or Settings(),
            report=progress,
            checkpoint=checkpoint,
        )

    def _commit(self, domain: DomainId, written: Written) -> None:
        session = SessionId(written.root)
        try:
            done = self.ledger.commit(
                session, base=written.base, pins=written.pins, uses=written.uses
            )
        except BaseException:
            if self.ledger.state(session) == State.COMMITTED:
                return  # just the answer was lost
            raise
        if not done and self.ledger.state(session) != State.COMMITTED:
            raise SessionLost(f"session {session} was ended by somebody else; try again")

    def describe(self, domain: DomainId, root: RootId, *, sha256: str | None = None) -> Root:
        """Read and authenticate a root.  Raises `DamagedObject`, also if it is not `sha256`."""
        name = layout.root_name(domain, root)
        domain_keys = self._keys(domain)
        data = self._reader(domain).object(name)
        found = roots.decode(data, self._metadata_key, domain_keys, root)
        if sha256 is not None and found.sha256 != sha256:
            raise DamagedObject(f"{name}: it is not the object that was written")
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
        """Write a backup to the target, all of it verified.  It is held meanwhile.

        Raises `DamagedObject` (naming object and root), `BackupGone`, `TargetError` and what
        `checkpoint` raises; then the target holds some of the backup and some of what it held.
        """
        with self._held(domain, root):
            reader.restore(
                self._reader(domain),
                self._keys(domain),
                self.describe(domain, root, sha256=sha256),
                target,
                settings=settings or Settings(),
                report=progress,
                checkpoint=checkpoint,
            )

    @contextlib.contextmanager
    def _held(self, domain: DomainId, root: RootId) -> Iterator[None]:
        """Keep the root, and all that it needs, while it is read."""
        if self._ledger is None:
            yield
            return
        session = self.new_session()
        if not self._ledger.begin_reading(session, domain=domain, root=root):
            raise BackupGone(f"there is no backup with root {root} (any more)")
        try:
            yield
        finally:
            self._ledger.abort(session)

    def delete(self, domain: DomainId, root: RootId) -> bool:
        """Take a reference to a backup away; with the last one its root goes, and True is returned.

        Its segments go with a collection.
        """
        if not self.ledger.drop(root):
            return False
        self.delete_root(domain, root)
        self.ledger.removed(root)
        return True

    def delete_root(self, domain: DomainId, root: RootId) -> None:
        """Remove the object alone; the caller minds the ledger."""
        self._store.delete(layout.root_name(domain, root))

    def roots(self, domain: DomainId) -> Iterator[RootId]:
        """The roots that the store lists."""
        for item in self._store.list(f"d/{domain}/r/"):
            yield RootId(item.name.rpartition("/")[2])

    def collect(
        self,
        domain: DomainId,
        *,
        sparse: float = SPARSE,
        dry_run: bool = False,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Collected:
        """Remove what no backup of the domain needs; may run beside anything.

        Segments of which at most the share `sparse` is needed are written anew without the rest.
        `dry_run`: only tell.  Raises `DamagedObject` and `LedgerBehind`, with what to do.
        """
        self._check_incarnation()
        return collector.collect(
            self._reader(domain),
            self.ledger,
            random=self._random,
            sparse=sparse,
            dry_run=dry_run,
            report=progress,
            checkpoint=checkpoint,
        )

    def verify(
        self,
        domain: DomainId,
        *,
        depth: int = 2,
        share: float = 1.0,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Verified:
        """Look whether what the domain's backups need is in the store as it was written.

        `depth` 1: all segments are there; 2: with the right bytes; 3: also their chunks open and
        are the right ones, which alone needs the domain's keys.  `share`: how much of the bytes to
        read, from 0 to 1, beginning with what was read longest ago.  Damage puts backups into
        quarantine; what is found whole again lets them out.
        """
        return verifier.verify(
            self._reader(domain),
            self._keys(domain) if depth > 2 else None,
            self.ledger,
            depth=depth,
            share=share,
            random=self._random,
            report=progress,
            checkpoint=checkpoint,
        )

    def examine(
        self, domain: DomainId, written: Written, checkpoint: Checkpoint = uninterrupted
    ) -> bool:
        """Put a backup that was just committed into quarantine if damage was found meanwhile.

        False if so.
        """
        if not self.ledger.bad(domain).keys() & set(written.uses):
            return True
        return not verifier.examine(self._reader(domain), self.ledger, [written.root], checkpoint)

    def settle(
        self, *, progress: Report = unwatched, checkpoint: Checkpoint = uninterrupted
    ) -> dict[DomainId, Settled]:
        """Make the ledger say what the store holds, after it was lost or put back.

        Every process that uses the repository must have been stopped.  If this one ends before it
        is done, it is to be done again.
        """
        before = self.ledger.incarnation()
        incarnation = before + 1
        domains = self.domains()
        while domains:
            try:
                self._store.put(layout.incarnation_name(incarnation), self._random(ID_BYTES))
                break
            except ObjectExists:
                incarnation += 1
        self._sleep(self._store.settles_within)
        settled = {}
        for number, domain in enumerate(domains, 1):
            reader = SegmentReader(self._store, self._metadata_key, domain, None, sleep=self._sleep)
            settled[domain] = settling.settle(
                reader,
                self.ledger,
                # Until all are settled, the ledger counts as one that was put back.
                incarnation=incarnation if number == len(domains) else before,
                random=self._random,
                checkpoint=checkpoint,
            )
            progress(Progress(number, len(domains), 0))
        return settled

    def _check_incarnation(self) -> None:
        """Raises `LedgerBehind` if the ledger was rebuilt since, and this one is an old copy."""
        incarnation = self.ledger.incarnation()
        try:
            self._store.stat(layout.incarnation_name(incarnation + 1))
        except ObjectNotFound:
            return
        raise LedgerBehind(
            f"the database is of incarnation {incarnation}, the store has seen a later one: it was "
            "put back to an older state. Stop every process, then run emberkeep repo rebuild"
        )

    def _reader(self, domain: DomainId) -> SegmentReader:
        return SegmentReader(
            self._store, self._metadata_key, domain, self._ledger, sleep=self._sleep
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
