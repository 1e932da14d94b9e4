"""What the files of requests (*.yaml) begin with: a service of their own, and things in it.

A file lists what it needs, the service first.  Ids are told as `$ENVIRON['NAME']`.
"""

import base64
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from falcon import testing
from gabbi.fixture import GabbiFixture
from tests.api.conftest import PROJECT, Api, Rows
from tests.world import World, a_caller, a_world

from emberkeep.api.app import create_app
from emberkeep.api.core import Core, Settings

OTHER_PROJECT = "0123456789abcdef0123456789abcdef"
NOTHING = "5e851e08-3d6f-46cf-8343-71edee572b0a"  # an id that nothing has
NOBODY = "There is no service: name one as the first fixture of the file."


class Service(GabbiFixture):
    """A service in three zones, the third without volumes, and a worker that runs what comes.

    Tells PROJECT, OTHER_PROJECT and NOTHING, an id that nothing has.
    """

    zones = ("az1", "az2", "vault")
    conf = "[zone:vault]\nvolumes = none\n"
    works = True
    current: "Service | None" = None

    def start_fixture(self) -> None:
        with ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            woken = threading.Event()
            self.world = stack.enter_context(
                a_world(Path(directory) / "state", zones=self.zones, conf=self.conf, wake=woken.set)
            )
            self.world.caller = a_caller(PROJECT)
            self.app = _application(self.world)
            self.api = Api(testing.TestClient(self.app))
            self.rests = threading.Lock()
            if self.works:
                stack.enter_context(_working(self.world, woken, self.rests))
            ids = {"PROJECT": PROJECT, "OTHER_PROJECT": OTHER_PROJECT, "NOTHING": NOTHING}
            stack.enter_context(_told(ids))
            Service.current = self
            stack.callback(setattr, Service, "current", None)
            self._close = stack.pop_all().close

    def stop_fixture(self) -> None:
        self._close()


class ServiceAtRest(Service):
    """A service whose worker does nothing, so that what was accepted stays as it is."""

    works = False


class ServiceWithSmallQuotas(Service):
    """A service where a project has two volumes, and two backups of 2 GiB together."""

    conf = Service.conf.replace(
        "[zone",
        "[DEFAULT]\nquota_volumes = 2\nquota_backups = 2\nquota_backup_gigabytes = 2\n[zone",
        1,
    )


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """The current service's WSGI application."""
    return _service().app(environ, start_response)


class Given(GabbiFixture):  # type: ignore[misc]
    """Something that is there before the first request."""

    def start_fixture(self) -> None:
        service = _service()
        with service.rests:
            self._told = _told(self.make(service.world))
        self._told.__enter__()

    def stop_fixture(self) -> None:
        self._told.__exit__(None, None, None)

    def make(self, world: World) -> Mapping[str, str]:
        """Make it, while the worker rests; return the ids to tell."""
        raise NotImplementedError


class AVolume(Given):
    """VOLUME: 1 GiB in az1, with some data."""

    def make(self, world: World) -> Mapping[str, str]:
        return {"VOLUME": world.a_volume(b"data" * 10_000).id}


class AnInUseVolume(Given):
    """IN_USE: a volume that a server uses."""

    def make(self, world: World) -> Mapping[str, str]:
        volume_id = world.a_volume(b"data" * 10_000).id
        wanted = {
            "volume_uuid": volume_id,
            "instance_uuid": NOTHING,
            "connector": {"host": "compute1"},
        }
        api = _service().api
        made = api.post("/v3/attachments", {"attachment": wanted}).json["attachment"]
        api.post(f"/v3/attachments/{made['id']}/action", {"os-complete": None})
        return {"IN_USE": volume_id}


class ALargerVolume(Given):
    """LARGER: 2 GiB in az2, called `larger`."""

    def make(self, world: World) -> Mapping[str, str]:
        wanted = {"size": 2, "name": "larger", "availability_zone": "az2"}
        made = _service().api.post("/v3/volumes", {"volume": wanted}).json["volume"]
        world.work()
        return {"LARGER": made["id"]}


class ASnapshot(Given):
    """SNAPSHOT: of the volume VOLUME."""

    def make(self, world: World) -> Mapping[str, str]:
        wanted = {"volume_id": os.environ["VOLUME"], "name": "snapshot"}
        made = _service().api.post("/v3/snapshots", {"snapshot": wanted}).json["snapshot"]
        world.work()
        return {"SNAPSHOT": made["id"]}


class ABackup(Given):
    """BACKUP: a finished backup, called `first`, of the volume VOLUME."""

    def make(self, world: World) -> Mapping[str, str]:
        return {"BACKUP": world.a_backup(os.environ["VOLUME"], name="first").id}


class AnIncremental(Given):
    """INCREMENTAL: a finished backup of the volume VOLUME that has BACKUP as its parent."""

    def make(self, world: World) -> Mapping[str, str]:
        made = world.a_backup(os.environ["VOLUME"], name="second", incremental=True)
        return {"INCREMENTAL": made.id}


class ARecordOfAnotherId(Given):
    """RECORD: the backup_url of BACKUP's record, but with the id COPY."""

    def make(self, world: World) -> Mapping[str, str]:
        path = f"/v3/backups/{os.environ['BACKUP']}/export_record"
        exported = _service().api.get(path).json["backup-record"]
        content = json.loads(base64.b64decode(exported["backup_url"])) | {"id": str(uuid.uuid4())}
        record = base64.b64encode(json.dumps(content).encode()).decode()
        return {"RECORD": record, "COPY": content["id"]}


class ABackupInEveryStatus(Given):
    """CREATING, RESTORING, DELETING, ERROR and ERROR_DELETING: a backup in that status."""

    def make(self, world: World) -> Mapping[str, str]:
        rows = Rows(world.parts.database)
        return {
            status.upper(): rows.backup(status=status)
            for status in ("creating", "restoring", "deleting", "error", "error_deleting")
        }


class SomeBackups(Given):
    """BACKUP_1 to BACKUP_5: backups, the first the oldest, called after their numbers."""

    def make(self, world: World) -> Mapping[str, str]:
        rows = Rows(world.parts.database)
        names = ("one", "two", "three", "four", "five")
        return {
            f"BACKUP_{n}": rows.backup(
                display_name=name, size=n, status="error" if n == 4 else "available"
            )
            for n, name in enumerate(names, 1)
        }


class ForeignThings(Given):
    """FOREIGN_VOLUME, FOREIGN_SNAPSHOT and FOREIGN_BACKUP: those of OTHER_PROJECT."""

    def make(self, world: World) -> Mapping[str, str]:
        rows = Rows(world.parts.database)
        volume_id = rows.volume(project_id=OTHER_PROJECT)
        return {
            "FOREIGN_VOLUME": volume_id,
            "FOREIGN_SNAPSHOT": rows.snapshot(volume_id, project_id=OTHER_PROJECT),
            "FOREIGN_BACKUP": rows.backup(project_id=OTHER_PROJECT, volume_id=volume_id),
        }


def _service() -> Service:
    assert Service.current is not None, NOBODY
    return Service.current


def _application(world: World) -> Callable[..., Any]:
    parts = world.parts
    return create_app(
        Core(parts.backups, parts.volumes, parts.database, Settings(loopback_only=True))
    )


@contextmanager
def _working(world: World, woken: threading.Event, rests: threading.Lock) -> Iterator[None]:
    """A thread that does all that there is to do whenever it is woken, unless it `rests`."""
    ended = threading.Event()
    worker = world.worker()

    def work() -> None:
        while woken.wait() and not ended.is_set():
            woken.clear()
            with rests:
                worker.run_until_idle()

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        woken.set()
        thread.join()


@contextmanager
def _told(ids: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(ids)
    try:
        yield
    finally:
        for name in ids:
            os.environ.pop(name, None)
