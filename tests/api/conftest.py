"""A client of the application, as readable as the requests it makes."""

import itertools
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from falcon import testing

from emberkeep.api.app import create_app
from emberkeep.api.core import Core, Settings
from emberkeep.backups.service import Backups
from emberkeep.backups.service import Settings as BackupSettings
from emberkeep.db import migrations, tables
from emberkeep.db.database import Database, Transaction, utc_now
from emberkeep.jobs.queue import Kind, NewJob, Queue
from emberkeep.volumes.local import LocalVolumes
from emberkeep.volumes.quota import VolumeQuotas

PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
JSON = "application/json"
FIRST_MOMENT = datetime(2026, 1, 1)


@dataclass
class Api:
    """Sends requests as one user of one project, by default an admin speaking 3.71."""

    client: testing.TestClient
    token: str | None = f"ada:{PROJECT}"
    roles: str | None = None
    version: str | None = "3.71"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        **as_whom: Any,
    ) -> testing.Result:
        who = {"token": self.token, "roles": self.roles, "version": self.version} | as_whom
        sent = {
            "Host": "localhost:8776",
            "X-Auth-Token": who["token"],
            "X-Roles": who["roles"],
            "OpenStack-API-Version": who["version"] and f"volume {who['version']}",
        }
        sent = {name: value for name, value in sent.items() if value is not None}
        path, _, query = path.partition("?")
        return self.client.simulate_request(
            method,
            path,
            query_string=query,
            headers=sent | ({"Content-Type": JSON} if raw else {}) | (headers or {}),
            **({"json": body} if body is not None else {"body": raw}),
        )

    def get(self, path: str, **how: Any) -> testing.Result:
        return self.request("GET", path, **how)

    def post(self, path: str, body: Any = None, **how: Any) -> testing.Result:
        return self.request("POST", path, body, **how)

    def put(self, path: str, body: Any = None, **how: Any) -> testing.Result:
        return self.request("PUT", path, body, **how)

    def delete(self, path: str, **how: Any) -> testing.Result:
        return self.request("DELETE", path, **how)


class Rows:
    """Puts rows into the database as workers would have left them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = itertools.count()

    def volume(self, **values: Any) -> str:
        return self._insert(
            tables.volumes,
            {
                "user_id": "ada",
                "status": "available",
                "name": None,
                "description": None,
                "metadata": {},
                "image_metadata": {},
                "bootable": False,
                "size": 1,
                "volume_type": "__DEFAULT__",
                "availability_zone": "az1",
                "backend": "keeper@az1#files",
                "attach_status": "detached",
                "admin_metadata": {},
            }
            | values,
        )

    def snapshot(self, volume_id: str, **values: Any) -> str:
        return self._insert(
            tables.snapshots,
            {
                "user_id": "ada",
                "volume_id": volume_id,
                "status": "available",
                "name": None,
                "description": None,
                "metadata": {},
                "size": 1,
                "progress": "100%",
            }
            | values,
        )

    def backup(self, **values: Any) -> str:
        return self._insert(
            tables.backups,
            {
                "user_id": "ada",
                "status": "available",
                "display_name": None,
                "metadata": {},
                "volume_id": str(uuid.uuid4()),
                "size": 1,
                "object_count": 0,
                "num_dependent_backups": 0,
                "availability_zone": "az1",
                "container": "volumebackups",
                "service": "cinder.backup.drivers.emberkeep.EmberkeepBackupDriver",
            }
            | values,
        )

    def message(self, **values: Any) -> str:
        action, detail = values.get("action_id", "013"), values.get("detail_id", "020")
        return self._insert(
            tables.messages,
            {
                "request_id": "req-1",
                "resource_type": "VOLUME_BACKUP",
                "resource_uuid": str(uuid.uuid4()),
                "action_id": action,
                "detail_id": detail,
                "event_id": f"VOLUME_VOLUME_BACKUP_{action}_{detail}",
                "message_level": "ERROR",
                "expires_at": datetime(2100, 1, 1),
            }
            | values,
        )

    def service(self, **values: Any) -> None:
        now = utc_now()
        row = {
            "host": "keeper@az1",
            "binary": "cinder-backup",
            "availability_zone": "az1",
            "repository": "0" * 32,
            "disabled": False,
            "heartbeat_at": now,
            "created_at": now,
        } | values
        with self._database.writing() as tx:
            tx.changed(sa.insert(tables.services).values(row))

    def _insert(self, table: sa.Table, values: dict[str, Any]) -> str:
        created_at = FIRST_MOMENT + timedelta(seconds=next(self._made))
        row = {
            "id": str(uuid.uuid4()),
            "project_id": PROJECT,
            "created_at": created_at,
            "deleted": False,
        } | values
        if table is tables.backups:
            row.setdefault("data_timestamp", row["created_at"])
        with self._database.writing() as tx:
            tx.changed(sa.insert(table).values(row))
        return str(row["id"])


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "emberkeep.sqlite"
    database = Database.in_file(path)
    migrations.upgrade(database)
    database.close()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Iterator[Database]:
    path = shutil.copy(empty_database, tmp_path)
    database = Database.in_file(Path(path))
    yield database
    database.close()


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def make_core(database: Database) -> Callable[..., Core]:
    """Builds the services as they are, without a worker behind them."""

    def make(**settings: Any) -> Core:
        queue = Queue(database)

        def enqueue(tx: Transaction, *, kind: str, **job: Any) -> str:
            return queue.enqueue(tx, NewJob(kind=Kind(kind), **job))

        volumes = LocalVolumes(
            database,
            enqueue=enqueue,
            drivers={},
            zones={"az1": "keeper@az1#files", "az2": "keeper@az2#files"},
            default_zone="az1",
            quotas=VolumeQuotas(),
        )
        backups = Backups(
            database=database,
            queue=queue,
            volumes=volumes,
            settings=BackupSettings(enabled_zones=("az1", "az2")),
        )
        return Core(backups, volumes, database, Settings(**settings))

    return make


@pytest.fixture
def make_api(make_core: Callable[..., Core]) -> Callable[..., Api]:
    """Builds the application on these services."""

    def make(**settings: Any) -> Api:
        return Api(testing.TestClient(create_app(make_core(**settings))))

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
