"""The repository: what a user of the engine works with.

One store holds one repository; a repository holds domains, each with keys of its own; a domain
holds backups that share chunks.  All methods may be called from many threads and processes at once.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from emberkeep.engine import (
    collector,
    damage,
    keys,
    layout,
    reader,
    roots,
    settling,
    statistics,
    verifier,
    wrapping,
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
from emberkeep.engine.ids import ID, ID_BYTES, DomainId, RootId, SessionId
from emberkeep.engine.keyring import Keyring
from emberkeep.engine.keys import DomainKeys, MetadataKey, Random
from emberkeep.engine.ledger import Begun, Found, Ledger, State
from emberkeep.engine.protocols import KeyManager, Source, Target
from emberkeep.engine.roots import Root
from emberkeep.engine.settling import Settled
from emberkeep.engine.statistics import Statistics
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
    "Found",
    "Ledger",
    "Progress",
    "Repository",
    "Root",
    "RootId",
    "SessionId",
    "Settings",
    "Settled",
    "State",
    "Statistics",
    "Verified",
    "Written",
]

BEAT_SECONDS = 30  # between two signs of life of a session

_FEATURES: list[str] = []
_CONTENTION = 5.0  # seconds for which a put of `format` by somebody else may have been under way

Ledgers = Callable[[str], Ledger | None]  # the ledger of a repository's id


def _no_ledger(_repository: str) -> None:
    return None


class Repository:
    """An open repository; see `create` and `open`."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
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
        self._keyring = keyring
        self._metadata_key = metadata_key
        self._random = random

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
        """Make a repository in an empty store; if another process was first, open that one.

        Whose `format` is there made it; the key was put before, under the repository's own id, so a
        process that comes second, or dies in between, leaves a key that nobody looks for.  A store
        that settles late may take two and keep the later; so the one that is there after some
        seconds counts.
        """
        repository_id = random(ID_BYTES).hex()
        key = random(keys.KEY_SIZE)
        content: dict[str, Any] = {
            "title": "emberkeep repository",
            "version": layout.VERSION,
            "repository": repository_id,
            "incarnation": 1,
            "features": _FEATURES,
            "cipher": keys.CIPHER,
        }
        content["mac"] = MetadataKey(key).format_mac(content)
        try:
            store.stat(layout.FORMAT)
        except ObjectNotFound:
            wrapping.metadata_key(store, repository_id, sleep).put(key_manager, key)
            with contextlib.suppress(ObjectExists):
                store.put(layout.FORMAT, json.dumps(content, indent=1).encode())
            sleep(min(_CONTENTION, store.settles_within))
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
            version, features, cipher = content["version"], content["features"], content["cipher"]
            mac = content.pop("mac")
            if not ID.fullmatch(repository_id):
                raise ValueError("no id")
        except ObjectNotFound as error:
            raise NotARepository("the store holds no repository") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedObject("format: it is damaged; bring it back from a copy") from error
        if version != layout.VERSION or features != _FEATURES or cipher != keys.CIPHER:
            raise NotARepository(
                f"the repository is of version {version} with features {features} and cipher "
                f"{cipher}, which this release does not know; take a newer one"
            )
        wrapped = wrapping.metadata_key(store, repository_id, sleep)
        try:
            key = wrapped.open(key_manager)
        except WrongKey as error:
            raise WrongKey(
                f"repository {repository_id} was made with another key; import that one "
                f"(emberkeep key import). Or {wrapped.prefix}* is damaged: bring it back from a "
                "copy"
            ) from error
        metadata_key = MetadataKey(key)
        if metadata_key.format_mac(content) != mac:
            raise DamagedObject("format: it was changed; bring it back from a copy")
        keyring = Keyring(
            store, key_manager, repository_id, metadata_key, random=random, sleep=sleep
        )
        return cls(
            store,
            keyring,
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
        return self._keyring.create_domain()

    def domains(self) -> list[DomainId]:
        """The domains that have keys or had them, from a listing."""
        return self._keyring.domains()

    def add_data_key(self, domain: DomainId) -> int:
        """Make a new data key for the sessions of the domain that begin from now on; its number."""
        return self._keyring.add_data_key(domain)

    def rewrap(self, new: KeyManager, *, domains: Collection[DomainId] = ()) -> int:
        """Wrap all keys anew, so that `new` alone opens them, and use it; how many were not so yet.

        `domains`: those that surely exist; a listing of the store may be stale.  May be interrupted
        and repeated: at each moment each key has a wrapping that `new` or the key manager before
        opens.  Meanwhile nobody may make a domain or a data key with the one before.
        """
        return self._keyring.rewrap(new, domains)

    def destroy_keys(self, domain: DomainId) -> None:
        """Make the domain's data unreadable, for ever and for everybody; may be repeated.

        Its backups can still be deleted, and its segments collected.  Nobody who had the keys is
        given them again: what is being read or written ends at its next sign of life and commits
        nothing.  A key manager that keeps a key for the domain should destroy that one, too.
        """
        ledger = self.ledger
        self._keyring.condemn(domain)
        for session, state in ledger.sessions(domain).items():
            if state in (State.ACTIVE, State.EXPIRED):
                ledger.abort(session)
        self._keyring.remove(domain)

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
            checkpoint=self._beating(domain, session, checkpoint),
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
            pin=partial(self.ledger.pin, session),
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
            raise self._lost(domain, session)

    def _beating(self, domain: DomainId, session: SessionId, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint of a session that we began: now and then a sign of life, too."""
        beat_at = self._clock()

        def beating() -> None:
            nonlocal beat_at
            checkpoint()
            if self._clock() - beat_at >= BEAT_SECONDS:
                beat_at = self._clock()
                if not self.ledger.beat(session):
                    raise self._lost(domain, session)

        return beating

    def _lost(self, domain: DomainId, session: SessionId) -> SessionLost:
        """What to say of a session that we did not end.  Raises `KeyDestroyed` if that did."""
        self._keys(domain)
        return SessionLost(f"session {session} was ended by somebody else; try again")

    def describe(self, domain: DomainId, root: RootId, *, sha256: str | None = None) -> Root:
        """Read and authenticate a root.  Raises `DamagedObject`, also if it is not `sha256`."""
        name = layout.root_name(domain, root)
        domain_keys = self._keyring.known(domain)
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
        with self._held(domain, root, checkpoint) as beating:
            self.read(
                domain,
                root,
                target,
                sha256=sha256,
                settings=settings,
                progress=progress,
                checkpoint=beating,
            )

    def read(
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
        """What `restore` does, for a caller who holds the root by the ledger's `begin_reading`."""
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
    def _held(self, domain: DomainId, root: RootId, checkpoint: Checkpoint) -> Iterator[Checkpoint]:
        """Keep the root, and all that it needs, while it is read with the checkpoint given."""
        if self._ledger is None:
            yield checkpoint
            return
        session = self.new_session()
        if not self._ledger.begin_reading(session, domain=domain, root=root):
            raise BackupGone(f"there is no backup with root {root} (any more)")
        try:
            yield self._beating(domain, session, checkpoint)
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
        for _item, root in layout.named(self._store, f"d/{domain}/r/", layout.parse_root_name):
            yield root

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

    def stats(
        self,
        domain: DomainId,
        *,
        progress: Report = unwatched,
        checkpoint: Checkpoint = uninterrupted,
    ) -> Statistics:
        """What the domain's backups take, each, by volume, and all (engine/statistics.py).

        Needs no domain key.
        """
        return statistics.statistics(
            self._reader(domain), self._ledger, report=progress, checkpoint=checkpoint
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

    def adopt(self, domain: DomainId, root: RootId) -> Found:
        """What a ledger that does not know a root's session is to be told of it.

        Raises `DamagedObject` if the root or a node of its map can't be read, and `LedgerBehind` if
        only a look at everything (`settle`) can tell which generations count.
        """
        reader = SegmentReader(self._store, self._metadata_key, domain, None, sleep=self._sleep)
        return settling.adopt(reader, root, random=self._random)

    def check_ledger(self) -> None:
        """Raises `LedgerBehind` if another process rebuilt the ledger and this is not that one."""
        self._check_incarnation()

    def _check_incarnation(self) -> None:
        """Raises `LedgerBehind` if the ledger was rebuilt since, and this one is an old copy.

        What tells that is put again if it was lost: its name says it all.
        """
        incarnation = self.ledger.incarnation()
        parse = layout.parse_incarnation_name
        seen = {number for _item, number in layout.named(self._store, layout.INCARNATIONS, parse)}
        with contextlib.suppress(ObjectNotFound):  # a listing may be stale
            self._store.stat(layout.incarnation_name(incarnation + 1))
            seen.add(incarnation + 1)
        if max(seen, default=1) <= incarnation:
            for number in set(range(2, incarnation + 1)) - seen:
                with contextlib.suppress(ObjectExists):
                    self._store.put(layout.incarnation_name(number), self._random(ID_BYTES))
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
        """The domain's keys now.  Raises `KeyDestroyed`, `DamagedObject` and `WrongKey`."""
        return self._keyring.current(domain)
