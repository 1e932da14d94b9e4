"""The parts of a service, put together as the configuration says.

Each process builds its own; nothing here is shared or remembered between calls.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from emberkeep import state
from emberkeep.backups.notifications import Notifications
from emberkeep.backups.service import Backups
from emberkeep.backups.service import Settings as BackupSettings
from emberkeep.config import Configuration, Zone
from emberkeep.db import migrations
from emberkeep.db.database import Database, Transaction
from emberkeep.db.ledger import SqlLedger
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.protocols import KeyManager
from emberkeep.engine.repository import Repository
from emberkeep.jobs.queue import Kind, NewJob, Queue
from emberkeep.jobs.queue import Settings as JobSettings
from emberkeep.state import StateError
from emberkeep.stores.errors import ObjectNotFound, StoreError
from emberkeep.stores.open import open_store
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.volumes.local import Enqueue, LocalVolumes, Placing
from emberkeep.volumes.quota import VolumeQuotas

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API, the worker and the commands work with."""

    configuration: Configuration
    database: Database
    queue: Queue
    volumes: LocalVolumes
    backups: Backups

    def close(self) -> None:
        self.database.close()


def prepare(configuration: Configuration) -> None:
    """Make what a first start needs: directories, database, key file, repositories.

    A zone whose store does not answer is left to the worker, which waits for it.
    Raises `StateError` if a store holds a repository and the key file is gone.
    """
    state.prepare(configuration.state_dir)
    for zone in configuration.zones:
        if zone.volumes is not None:
            zone.volumes.mkdir(mode=0o700, parents=True, exist_ok=True)
    upgrade(configuration)
    make_key(configuration)
    database = Database.connect(configuration.database)
    try:
        open_repositories(configuration, database, out_of_reach=_warn)
    finally:
        database.close()


def upgrade(configuration: Configuration) -> None:
    """Bring the database's tables up to date, making them first if there are none."""
    database = Database.connect(configuration.database)
    try:
        migrations.upgrade(database)
    finally:
        database.close()


def make_key(configuration: Configuration) -> None:
    """Make the key file, unless there is one.  Raises `StateError` if one was lost."""
    if configuration.key_file.exists():
        return
    for zone in configuration.zones:
        try:
            open_store(zone.repository, zone.store).stat("format")
        except ObjectNotFound:
            continue
        raise StateError(
            f"{configuration.key_file} is missing, but {zone.repository} was encrypted with it; "
            "bring it back with: emberkeep key import"
        )
    KeyFile.create(configuration.key_file)


def _warn(zone: Zone, error: StoreError) -> None:
    _log.warning("availability zone %s: its store does not answer: %s", zone.name, error)


def answers(zone: Zone) -> bool:
    """Whether the zone's store answers, asked without much patience."""
    try:
        _probe(zone)
    except StoreError:
        return False
    return True


def _probe(zone: Zone) -> None:
    """Raises `StoreError` if the zone's store does not answer."""
    with contextlib.suppress(ObjectNotFound):
        open_store(zone.repository, replace(zone.store, retries=1)).stat("format")


def open_repositories(
    configuration: Configuration,
    database: Database,
    *,
    out_of_reach: Callable[[Zone, StoreError], None] | None = None,
) -> dict[str, Repository]:
    """Open each zone's repository, its ledger in the database; made first where a store is empty.

    Zones that name the same store share one.  Raises what opening a store or a repository raises;
    but of a zone whose store does not answer `out_of_reach` is told, if given, and it is left out.
    """
    keys = KeyFile.load(configuration.key_file)
    ledger = partial(SqlLedger, database)
    opened: dict[str, Repository] = {}
    for zone in configuration.zones:
        if zone.repository in opened:
            continue
        try:
            if out_of_reach is not None:
                _probe(zone)
            store = open_store(zone.repository, zone.store)
            try:
                store.stat("format")
            except ObjectNotFound:
                opened[zone.repository] = Repository.create(store, keys, ledger=ledger)
            else:
                opened[zone.repository] = Repository.open(store, keys, ledger=ledger)
        except StoreError as error:
            if out_of_reach is None:
                raise
            out_of_reach(zone, error)
    return {
        zone.name: opened[zone.repository]
        for zone in configuration.zones
        if zone.repository in opened
    }


def existing_repositories(
    configuration: Configuration, database: Database, keys: KeyManager
) -> list[Repository]:
    """Open the zones' repositories with other keys than the key file's; those that there are."""
    opened = []
    for url in dict.fromkeys(zone.repository for zone in configuration.zones):
        store = open_store(url)
        try:
            store.stat("format")
        except ObjectNotFound:
            continue
        opened.append(Repository.open(store, keys, ledger=partial(SqlLedger, database)))
    return opened


def backend(configuration: Configuration, zone: str) -> str:
    """The name of a zone's volume back end, in Cinder's form host@backend#pool."""
    return f"{configuration.host}@{zone}#files"


def drivers(configuration: Configuration) -> dict[str, FilesDriver]:
    """The drivers of the volumes that lie on this host, by back end."""
    return {
        backend(configuration, zone.name): FilesDriver(zone.volumes)
        for zone in configuration.zones
        if zone.volumes is not None
    }


def assemble(
    configuration: Configuration,
    *,
    wake: Callable[[], None] = lambda: None,
    drivers: Mapping[str, FilesDriver] | None = None,
    notifications: Notifications | None = None,
) -> Parts:
    """Put the parts together; `drivers` are the volume back ends that this process reaches.

    Without `notifications` nobody is told of what is done with the parts.
    """
    database = Database.connect(configuration.database)
    jobs, quotas, options = configuration.jobs, configuration.quotas, configuration.backups
    queue = Queue(
        database,
        JobSettings(
            lease=jobs.lease,
            heartbeat=jobs.heartbeat,
            progress=jobs.progress,
            zone_wait=jobs.zone_wait,
            max_attempts=jobs.max_attempts,
        ),
        wake=wake,
    )
    zones = {
        zone.name: backend(configuration, zone.name)
        for zone in configuration.zones
        if zone.volumes is not None
    }
    volumes = LocalVolumes(
        database,
        enqueue=_enqueuer(queue),
        wake=queue.wake,
        message_ttl=configuration.message_ttl,
        drivers=drivers or {},
        zones=zones,
        default_zone=configuration.volumes.default_availability_zone,
        quotas=VolumeQuotas(
            volumes=quotas.volumes,
            gigabytes=quotas.gigabytes,
            snapshots=quotas.snapshots,
            groups=quotas.groups,
            per_volume_gigabytes=quotas.per_volume_gigabytes,
            no_snapshot_gb_quota=configuration.volumes.no_snapshot_gb_quota,
        ),
        placing=Placing(
            allow_fallback=configuration.volumes.allow_availability_zone_fallback,
            same_zone=configuration.volumes.cloned_volume_same_az,
        ),
    )
    backups = Backups(
        database=database,
        queue=queue,
        volumes=volumes,
        settings=BackupSettings(
            quota_backups=quotas.backups,
            quota_backup_gigabytes=quotas.backup_gigabytes,
            default_container=options.default_container,
            default_availability_zone=options.default_availability_zone,
            refuse_delete_of_parents=options.refuse_delete_of_parents,
            enabled_zones=tuple(zone.name for zone in configuration.zones),
            message_ttl=configuration.message_ttl,
        ),
        notifications=notifications,
    )
    return Parts(configuration, database, queue, volumes, backups)


def _enqueuer(queue: Queue) -> Enqueue:
    """How volumes, which know nothing of jobs, have their work done."""

    def enqueue(tx: Transaction, *, kind: str, **job: Any) -> str:
        return queue.enqueue(tx, NewJob(kind=Kind(kind), **job))

    return enqueue
