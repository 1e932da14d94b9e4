"""A whole service in one process, with a worker that goes step by step."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from emberkeep import assembly, config
from emberkeep.assembly import Parts
from emberkeep.backups.maintenance import Schedule
from emberkeep.backups.service import Backups, NewBackup
from emberkeep.caller import Caller
from emberkeep.config import Configuration
from emberkeep.db.backups import Backup
from emberkeep.db.volumes import VolumeRow
from emberkeep.engine.repository import Repository, Settings
from emberkeep.volumes.local import LocalVolumes, VolumeRequest
from emberkeep.worker.process import Worker
from emberkeep.worker.site import Site

GIB = 1 << 30
PROJECT = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
OTHER_PROJECT = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
SMALL = Settings(chunk_size=32 << 10, segment_size=1 << 20, workers=2)


def allow(_rule: str, _project_id: str | None) -> None:
    """Authorizes everything."""


def a_caller(
    project: str = PROJECT,
    *,
    is_admin: bool = False,
    authorize: Callable[[str, str | None], None] = allow,
) -> Caller:
    return Caller(
        user_id="user", project_id=project, is_admin=is_admin, request_id="req-1",
        authorize=authorize,
    )  # fmt: skip


@dataclass
class World:
    """A service whose zones all have volumes and a store of their own."""

    configuration: Configuration
    parts: Parts
    repositories: dict[str, Repository]
    caller: Caller = field(default_factory=a_caller)

    @property
    def backups(self) -> Backups:
        return self.parts.backups

    @property
    def volumes(self) -> LocalVolumes:
        return self.parts.volumes

    def worker(self, name: str = "emberkeep", *, zones: tuple[str, ...] | None = None) -> Worker:
        """A worker that reaches the zones (None: all), registered."""
        names = zones or tuple(zone.name for zone in self.configuration.zones)
        by_zone = {zone: self.repositories[zone] for zone in names}
        with_volumes = [
            zone.name for zone in self.configuration.zones if zone.volumes and zone.name in names
        ]
        site = Site(
            database=self.parts.database,
            queue=self.parts.queue,
            volumes=self.volumes,
            local=self.volumes,
            repositories={repository.id: repository for repository in by_zone.values()},
            zone_repositories={zone: repository.id for zone, repository in by_zone.items()},
            hosts={zone: f"{name}@{zone}" for zone in names},
            settings=SMALL,
            schedule=Schedule(collect_every=0, verify_every=0),
        )
        worker = Worker(
            site,
            name=name,
            zones_with_volumes=with_volumes,
            backends=[assembly.backend(self.configuration, zone) for zone in with_volumes],
        )
        worker.register()
        return worker

    def work(self) -> None:
        """Let a worker of all zones do everything that there is to do."""
        self.worker().run_until_idle()

    def a_volume(self, data: bytes = b"", *, zone: str = "az1", size_gib: int = 1) -> VolumeRow:
        """A volume that begins with `data`."""
        asked = VolumeRequest(size_gib=size_gib, name="volume", availability_zone=zone)
        row = self.volumes.create(self.caller, asked)
        self.work()
        self.write(row.id, data)
        return self.volumes.show(row.id)

    def write(self, volume_id: str, data: bytes, offset: int = 0) -> None:
        with self.path(volume_id).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def path(self, volume_id: str) -> Path:
        return self.volumes.path_of(self.volumes.show(volume_id))

    def content(self, volume_id: str, size: int) -> bytes:
        """The volume's first bytes; all that follow must be zeros, in a file of whole GiB."""
        path = self.path(volume_id)
        assert path.stat().st_size == self.volumes.show(volume_id).size * GIB
        with path.open("rb") as file:
            found = file.read(size)
            place = size
            while place < path.stat().st_size:
                try:
                    place = os.lseek(file.fileno(), place, os.SEEK_DATA)
                except OSError:
                    break
                file.seek(place)
                rest = file.read(1 << 20)
                assert not any(rest)
                place += len(rest)
        return found

    def a_backup(self, volume_id: str, **asked: object) -> Backup:
        """A backup, worked on until there is nothing left to do."""
        created = self.backups.create(self.caller, NewBackup(volume_id, **asked))  # type: ignore[arg-type]
        self.work()
        return self.backups.show(self.caller, created.id)

    def restored(self, backup_id: str, *, volume_id: str | None = None) -> str:
        """Restore, worked on to the end; returns the volume's id."""
        accepted = self.backups.restore(self.caller, backup_id, volume_id=volume_id, name=None)
        self.work()
        return accepted.volume_id

    def store(self, zone: str) -> Path:
        return self.configuration.state_dir / "stores" / zone


@contextmanager
def a_world(
    directory: Path,
    *,
    zones: tuple[str, ...] = ("az1", "az2"),
    conf: str = "",
    wake: Callable[[], None] = lambda: None,
) -> Iterator[World]:
    """A new service in `directory`, with `conf` as its emberkeep.conf.

    `wake` is told of each new job.
    """
    directory.mkdir(exist_ok=True)
    (directory / "emberkeep.conf").write_text(conf)
    configuration = config.load(directory, zones=zones)
    assembly.prepare(configuration)
    parts = assembly.assemble(configuration, drivers=assembly.drivers(configuration), wake=wake)
    with closing(parts):
        world = World(
            configuration, parts, assembly.open_repositories(configuration, parts.database)
        )
        world.worker()
        yield world
