"""A service whose clock, stores and volumes do what a test says, and workers step by step."""

import base64
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.databases import Clock, a_database
from tests.world import GIB, SMALL, a_caller

from emberkeep.backups.maintenance import Schedule
from emberkeep.backups.notifications import Notifications, Pace, Payload
from emberkeep.backups.records import SERVICE, Record
from emberkeep.backups.service import Backups, NewBackup, Query, Restoring, Settings
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db import services, sessions
from emberkeep.db import volumes as volumes_table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Database, Transaction
from emberkeep.db.jobs import Job
from emberkeep.db.ledger import SqlLedger
from emberkeep.db.tables import jobs as jobs_table
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import Repository
from emberkeep.jobs.queue import Kind, NewJob, Queue
from emberkeep.jobs.queue import Settings as Patience
from emberkeep.stores.base import Buffer
from emberkeep.stores.errors import StoreError, StoreFull
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.remote import RemoteVolumes
from emberkeep.testing.volumes import PROJECT
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.volumes.local import LocalVolumes, VolumeRequest
from emberkeep.volumes.quota import VolumeQuotas
from emberkeep.volumes.service import VolumeService
from emberkeep.worker.process import Worker
from emberkeep.worker.site import Site

CALLER = a_caller(PROJECT)
UNLIMITED = VolumeQuotas(-1, -1, -1)


class TestStore(MemoryStore):
    """A store that is full, or away, when a test says so, and tells of each put before it is."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.away = False
        self.before_put: Callable[[str], None] = lambda _name: None
        self.before_delete: Callable[[str], None] = lambda _name: None

    def put(self, name: str, data: Buffer) -> None:
        self.before_put(name)
        if self.full:
            raise StoreFull("the disk is full")
        self._answer()
        super().put(name, data)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self._answer()
        return super().get(name, offset=offset, length=length)

    def delete(self, name: str) -> None:
        self.before_delete(name)
        self._answer()
        super().delete(name)

    def _answer(self) -> None:
        if self.away:
            raise StoreError("no route to the store")

    def names(self, part: str) -> list[str]:
        """The objects whose names have this part, e.g. "/r/" for roots, "/s/" for segments."""
        return [item.name for item in self.list("d/") if part in item.name]


@dataclass
class Stage:
    """A service in two zones, by default with volumes of our own in both."""

    directory: Path
    settings: Settings = field(default_factory=lambda: Settings(enabled_zones=("az1", "az2")))
    remote: RemoteVolumes | None = None
    zones: Mapping[str, str] = field(default_factory=lambda: {"az1": "az1", "az2": "az2"})
    stores: dict[str, TestStore] = field(default_factory=dict)  # those of another stage, if any
    clock: Any = field(default_factory=Clock)
    patience: Patience = field(default_factory=Patience)
    pace: Pace = field(default_factory=Pace)
    # What others were told: who says so, the event and the payload.
    notified: list[tuple[str, str, Payload]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database: Database = a_database(self.directory, clock=self.clock)
        self.queue = Queue(self.database, self.patience)
        key = KeyFile(bytes(range(32)))
        self.stores = self.stores or {name: TestStore() for name in self.zones.values()}
        ledger = partial(SqlLedger, self.database)
        made = {
            name: Repository.create(store, key, ledger=ledger)
            for name, store in self.stores.items()
        }
        self.repositories = {zone: made[store] for zone, store in self.zones.items()}
        self.drivers = {
            f"host@{zone}": FilesDriver(self.directory / zone) for zone in ("az1", "az2")
        }
        for zone in ("az1", "az2"):
            (self.directory / zone).mkdir(exist_ok=True)
        self.limit_volumes(UNLIMITED)
        self.one = self.worker()

    def limit_volumes(self, quotas: VolumeQuotas) -> None:
        """Begin again with these quotas of volumes."""
        self.local = LocalVolumes(
            self.database,
            enqueue=self._enqueue,
            drivers=self.drivers,
            zones={"az1": "host@az1", "az2": "host@az2"},
            default_zone="az1",
            quotas=quotas,
        )
        self.volumes: VolumeService = self.remote or self.local
        self.backups = self._backups()

    def set_limits(self, **settings: Any) -> None:
        """Begin again with other settings; what is not named is as by default."""
        self.settings = Settings(enabled_zones=("az1", "az2"), **settings)
        self.backups = self._backups()

    def _backups(self) -> Backups:
        return Backups(
            database=self.database,
            queue=self.queue,
            volumes=self.volumes,
            settings=self.settings,
            notifications=self._notifications,
        )

    @property
    def _notifications(self) -> Notifications:
        return Notifications(self._note, host="here")

    def _note(self, publisher: str, event: str, payload: Payload) -> None:
        self.notified.append((publisher, event, payload))

    @property
    def everything(self) -> Query:
        return Query(all_tenants=True)

    def _enqueue(self, tx: Transaction, *, kind: str, **job: Any) -> str:
        return self.queue.enqueue(tx, NewJob(kind=Kind(kind), **job))

    def worker(self, name: str = "one", *, zones: tuple[str, ...] | None = None) -> Worker:
        """A worker, registered, that reaches all volumes and the zones' stores (None: all)."""
        repositories = {zone: self.repositories[zone] for zone in zones or self.zones}
        site = Site(
            database=self.database,
            queue=self.queue,
            volumes=self.volumes,
            local=None if self.remote else self.local,
            repositories={repository.id: repository for repository in repositories.values()},
            zone_repositories={zone: repository.id for zone, repository in repositories.items()},
            hosts={zone: f"{name}@{zone}" for zone in repositories},
            settings=SMALL,
            schedule=Schedule(collect_every=0, verify_every=0),
            notifications=self._notifications,
            pace=self.pace,
        )
        worker = Worker(
            site,
            name=name,
            zones_with_volumes=[zone for zone in ("az1", "az2") if zone in repositories],
            backends=["remote"] if self.remote else list(self.drivers),
        )
        worker.register()
        return worker

    def work(self) -> None:
        """Let a worker do everything, also what is to be tried again later."""
        for _ in range(12):
            self.one.run_until_idle()
            self.clock.pass_by(16)
            self.one.beat()
        assert not [job for job in self.jobs() if job.state in ("queued", "running")]

    def jobs(self, kind: Kind | None = None) -> list[Job]:
        """All jobs, oldest first."""
        with self.database.reading() as tx:
            found = [
                Job(**row)
                for row in tx.rows(sa.select(jobs_table).order_by(jobs_table.c.created_at))
            ]
        return [job for job in found if kind in (None, job.kind)]

    # Volumes.

    def a_volume(self, data: bytes = b"", *, zone: str = "az1", size_gib: int = 1) -> str:
        """A volume that begins with `data`; its id."""
        if self.remote is not None:
            return self.remote.add(data=data, size_gib=size_gib, zone=zone)
        asked = VolumeRequest(size_gib=size_gib, name="volume", availability_zone=zone)
        volume_id = self.local.create(CALLER, asked).id
        self.one.run_until_idle()
        self.write(volume_id, data)
        return volume_id

    def a_snapshot(self, volume_id: str) -> str:
        if self.remote is not None:
            return self.remote.add_snapshot(volume_id)
        snapshot = self.local.create_snapshot(
            CALLER, volume_id=volume_id, name="s", description=None, metadata={}, in_use=True
        )
        self.one.run_until_idle()
        return snapshot.id

    def local_volumes(self) -> int:
        """How many volumes there are."""
        with self.database.reading() as tx:
            return sum(used.volumes for used in volumes_table.usage(tx, PROJECT).values())

    def write(self, volume_id: str, data: bytes, offset: int = 0) -> None:
        with self.local.path_of(self.local.show(volume_id)).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def content(self, volume_id: str, size: int) -> bytes:
        if self.remote is not None:
            return bytes(self.remote.volumes[volume_id].data).ljust(size, b"\0")[:size]
        path = self.local.path_of(self.local.show(volume_id))
        assert path.stat().st_size == self.local.show(volume_id).size * GIB
        with path.open("rb") as file:
            return file.read(size)

    def volume_status(self, volume_id: str) -> str:
        if self.remote is not None:
            return self.remote.volumes[volume_id].status
        return self.local.show(volume_id).status

    def snapshot_status(self, snapshot_id: str) -> str:
        return self.local.show_snapshot(snapshot_id).status

    def set_volume(self, volume_id: str, **values: Any) -> None:
        with self.database.writing() as tx:
            volumes_table.change(tx, volume_id, **values)

    # Backups.

    def create(self, volume_id: str, *, caller: Caller = CALLER, **asked: Any) -> Backup:
        return self.backups.create(caller, NewBackup(volume_id, **asked))

    def a_backup(self, volume_id: str, *, caller: Caller = CALLER, **asked: Any) -> Backup:
        """A backup, worked on until there is nothing left to do."""
        created = self.create(volume_id, caller=caller, **asked)
        if isinstance(self.clock, Clock):
            self.clock.pass_by(1)  # so that no two are of one moment
        self.one.run_until_idle()
        return self.shown(created.id)

    def restore(
        self, backup_id: str, volume_id: str | None = None, name: str | None = None
    ) -> Restoring:
        return self.backups.restore(CALLER, backup_id, volume_id=volume_id, name=name)

    def restore_as(self, caller: Caller, backup_id: str) -> str:
        return self.backups.restore(caller, backup_id, volume_id=None, name=None).volume_id

    def a_twin(self, record: Record, *, project: str) -> Backup:
        """The record, imported into a project under another id."""
        content = json.loads(base64.b64decode(record.backup_url))
        content["id"] = str(uuid.uuid4())
        return self.an_import(content, project=project, service=record.backup_service)

    def an_import(
        self, content: object, *, project: str = "importers", service: str = SERVICE
    ) -> Backup:
        """A record of this content, imported and worked on to the end."""
        url = base64.b64encode(json.dumps(content).encode()).decode()
        admin = a_caller(project, is_admin=True)
        imported = self.backups.import_record(admin, Record(service, url))
        self.work()
        return self.shown(imported.id)

    def shown(self, backup_id: str) -> Backup:
        return self.backups.show(a_caller(is_admin=True), backup_id)

    def status(self, backup_id: str) -> str:
        return self.shown(backup_id).status

    def set_backup(self, backup_id: str, **values: Any) -> None:
        with self.database.writing() as tx:
            assert table.change(tx, backup_id, **values)

    def row(self, backup_id: str) -> Backup | None:
        """The row, also a deleted one's."""
        with self.database.reading() as tx:
            return table.get(tx, backup_id, deleted=True)

    def session(self, root: str | None) -> str | None:
        with self.database.reading() as tx:
            return sessions.state(tx, root or "")

    # Services.

    def disable(self, zone: str) -> None:
        with self.database.writing() as tx:
            services.set_disabled(
                tx, host=f"one@{zone}", binary=services.BACKUP, disabled=True, reason=None
            )

    def close(self) -> None:
        self.database.close()


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make the calls, each in a thread of its own; what each returned or raised, in their order."""
    start = threading.Barrier(len(calls))
    ended: list[object] = [None] * len(calls)

    def run(number: int) -> None:
        start.wait()
        try:
            ended[number] = calls[number]()
        except BaseException as error:
            ended[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended
