"""Our own volumes with a queue of tasks that a test runs when it wants to."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.database import Database, Transaction
from emberkeep.testing.volumes import PROJECT
from emberkeep.volumes import tasks
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.volumes.errors import VolumeError
from emberkeep.volumes.local import LocalVolumes, Placing, VolumeRequest
from emberkeep.volumes.quota import VolumeQuotas


@dataclass(frozen=True)
class Task:
    kind: str
    subject: str
    needs_backend: str | None
    arguments: Mapping[str, Any]


def allow(_rule: str, _project_id: str | None) -> None:
    """Authorizes everything."""


def a_caller(
    project_id: str = PROJECT,
    *,
    is_admin: bool = False,
    authorize: Callable[[str, str | None], None] = allow,
) -> Caller:
    return Caller("u", project_id, is_admin, "req", authorize)


CALLER = a_caller()


@dataclass
class LocalPlace:
    """Volumes in two zones, az1 being the default."""

    database: Database
    directory: Path
    quotas: VolumeQuotas = field(default_factory=lambda: VolumeQuotas(-1, -1, -1))
    tasks: list[Task] = field(default_factory=list)
    placing: Placing | None = None

    def __post_init__(self) -> None:
        backends = {zone: f"host@{zone}" for zone in ("az1", "az2")}
        self.service = LocalVolumes(
            self.database,
            enqueue=self._enqueue,
            drivers={
                backend: FilesDriver(self.directory / zone) for zone, backend in backends.items()
            },
            zones=backends,
            default_zone="az1",
            quotas=self.quotas,
            placing=self.placing,
        )

    def _enqueue(
        self,
        tx: Transaction,
        *,
        kind: str,
        subject: str,
        project_id: str,
        user_id: str,
        needs_backend: str,
        arguments: Mapping[str, Any],
    ) -> None:
        self.tasks.append(Task(kind, subject, needs_backend, arguments))

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self.database.writing()

    def run(self, task: Task) -> None:
        """Do a task as a worker does."""

        def nothing(_tx: Transaction) -> None:
            pass

        try:
            tasks.run(
                task,
                self.database,
                self.service,
                hold=nothing,
                finish=nothing,
                checkpoint=lambda: None,
            )
        except VolumeError:
            with self.database.writing() as tx:
                tasks.fail(tx, task)

    def work(self) -> None:
        """Do all tasks that there are."""
        while self.tasks:
            self.run(self.tasks.pop(0))

    def a_volume(
        self, *, status: str = "available", data: bytes = b"", size_gib: int = 1, **asked: Any
    ) -> str:
        row = self.service.create(CALLER, VolumeRequest(size_gib=size_gib, **asked))
        self.work()
        if data:
            with self.path(row.id).open("r+b") as file:
                file.write(data)
        self.set_status(row.id, status)
        return row.id

    def a_snapshot(self, volume_id: str, *, status: str = "available") -> str:
        before = self.service.show(volume_id).status
        self.set_status(volume_id, "available")
        row = self.service.create_snapshot(
            CALLER, volume_id, name=None, description=None, metadata={}, in_use=False
        )
        self.work()
        self.set_status(volume_id, before)
        with self.database.writing() as tx:
            table.change_snapshot(tx, row.id, status=status)
        return row.id

    def set_status(self, volume_id: str, status: str) -> None:
        with self.database.writing() as tx:
            table.change(tx, volume_id, status=status)

    def status(self, volume_id: str) -> str:
        return self.service.show(volume_id).status

    def path(self, volume_id: str) -> Path:
        return self.service.path_of(self.service.show(volume_id))

    def files(self, zone: str = "az1") -> list[str]:
        return sorted(path.name for path in (self.directory / zone).iterdir())


def first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def create(place: LocalPlace, **asked: Any) -> str:
    """Ask for a volume; its file is made when the test lets the tasks be done."""
    return place.service.create(CALLER, VolumeRequest(**asked)).id


def snapshot(place: LocalPlace, volume_id: str, *, in_use: bool = False) -> str:
    """Ask for a snapshot, likewise."""
    return place.service.create_snapshot(
        CALLER, volume_id, name="s", description="d", metadata={"k": "v"}, in_use=in_use
    ).id
