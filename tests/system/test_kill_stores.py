"""SIGKILL at random moments while collections run, on each kind of store: nothing is lost, and
nothing stays."""

import hashlib
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.conftest import ceph, swift  # noqa: F401 (fixtures)
from tests.services.s3 import S3, url
from tests.services.swift import Swift
from tests.system.service import QUICK, Service, command, serving, until

from emberkeep.stores.base import Store
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions

ROUNDS = 4
MIB = 1 << 20
DATA = 48 * MIB  # bytes of the volume that are not holes

pytestmark = pytest.mark.slow


class Place:
    """Where the backups go: a store's URL, and the options of its zone."""

    def __init__(self, url: str, **options: str) -> None:
        self.url, self.options = url, options

    def configuration(self) -> str:
        lines = [f"store_{name} = {value}" for name, value in self.options.items()]
        return "\n".join(
            [
                f"{QUICK}[availability_zones]\nenabled = az1, vault",
                f"[zone:vault]\nvolumes = none\nrepository = {self.url}",
                *lines,
                "[maintenance]\nverify_every = 1\nverify_percent = 100\n",
            ]
        )

    def open(self) -> Store:
        return open_store(self.url, StoreOptions(**self.options))  # type: ignore[arg-type]


@pytest.fixture(params=["posix", "swift", "s3 of swift", "s3 of ceph"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    name = f"kill-{uuid.uuid4()}"
    match request.param:
        case "posix":
            return Place((tmp_path / "vault").as_uri())
        case "swift":
            server: Swift = request.getfixturevalue("swift")
            return Place(
                f"swift:///{name}",
                auth_url=server.auth_url,
                username=server.user,
                password=server.key,
            )
        case kind:
            s3: S3 = request.getfixturevalue(kind.split()[-1])
            return Place(
                url(s3),
                access_key=s3.s3_access_key,
                secret_key=s3.s3_secret_key,
            )


@pytest.fixture
def service(place: Place, tmp_path: Path) -> Iterator[Service]:
    state = tmp_path / "state"
    state.mkdir()
    (state / "emberkeep.conf").write_text(place.configuration())
    with serving(state) as running:
        yield running


class Life:
    """A volume that changes, its backups, and what each of them must restore to."""

    def __init__(self, service: Service, dice: random.Random) -> None:
        self.service, self.dice = service, dice
        self.volume = self._a_volume()
        self.target = self._a_volume()
        self.paths = {one: service.path(one) for one in (self.volume, self.target)}
        self.digests: dict[str, str] = {}
        for offset in range(0, 2 * DATA, 2 * MIB):
            self._write(offset, MIB)

    def _a_volume(self) -> str:
        asked = {"volume": {"size": 1, "availability_zone": "az1"}}
        volume_id: str = self.service.call("POST", "/volumes", asked).body["volume"]["id"]
        until(lambda: self.service.volume(volume_id)["status"] == "available", "a volume")
        return volume_id

    def _write(self, offset: int, size: int) -> None:
        with self.paths[self.volume].open("r+b") as file:
            file.seek(offset)
            file.write(self.dice.randbytes(size))

    def _digest(self, volume_id: str) -> str:
        with self.paths[volume_id].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def back_up(self, *, kill: bool) -> None:
        for _ in range(20):
            self._write(self.dice.randrange(2 * DATA), self.dice.randrange(MIB))
        wanted = self._digest(self.volume)
        asked = {
            "volume_id": self.volume,
            "availability_zone": "vault",
            "incremental": bool(self.digests) and self.dice.random() < 0.7,
        }
        accepted = self.service.call("POST", "/backups", {"backup": asked})
        assert accepted.status == 202, accepted
        backup_id = accepted.body["backup"]["id"]
        if kill:
            self._kill_in(backup_id)
        self._settle(backup_id)
        self.digests[backup_id] = wanted

    def restore(self, backup_id: str, *, kill: bool) -> None:
        asked = {"restore": {"volume_id": self.target}}
        accepted = self.service.call("POST", f"/backups/{backup_id}/restore", asked)
        assert accepted.status == 202, accepted
        if kill:
            self._kill_in(backup_id)
        self._settle(backup_id)
        until(lambda: self.service.volume(self.target)["status"] == "available", "the volume")
        assert self._digest(self.target) == self.digests[backup_id]

    def delete(self, backup_id: str) -> None:
        assert self.service.call("DELETE", f"/backups/{backup_id}").status == 202
        gone = f"/backups/{backup_id}"
        until(lambda: self.service.call("GET", gone).status == 404, "the end of a deletion")
        del self.digests[backup_id]

    def _settle(self, backup_id: str) -> None:
        until(
            lambda: self.service.backup(backup_id)["status"] not in ("creating", "restoring"),
            "an end of the work",
        )
        shown = self.service.backup(backup_id)
        assert shown["status"] == "available", shown

    def _kill_in(self, backup_id: str) -> None:
        """Kill the worker at a random share of the work."""
        share = self.dice.random()

        def reached() -> bool:
            progress = self.service.progress(backup_id)
            total = progress["bytes_total"]
            return progress["state"] == "done" or bool(
                total and progress["bytes_done"] / total >= share
            )

        worker = self.service.child("worker")
        until(reached, f"progress of {share:.0%}")
        worker.kill()
        worker.wait(30)


def test_killed_at_random_while_collections_run_nothing_is_lost_and_nothing_stays(
    service: Service, place: Place
) -> None:
    dice = random.Random(place.url.partition(":")[0])
    life = Life(service, dice)
    ended = threading.Event()
    collections = []

    def collect() -> None:
        while not ended.is_set():
            command("repo", "collect", "--state-dir", service.state)
            collections.append(1)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for _ in range(ROUNDS):
            life.back_up(kill=True)
            life.back_up(kill=False)
            life.restore(dice.choice(sorted(life.digests)), kill=True)
            if len(life.digests) > 3:
                life.delete(dice.choice(sorted(life.digests)))
        for backup_id in life.digests:
            life.restore(backup_id, kill=False)
    finally:
        ended.set()
        collector.join()
    assert len(collections) > ROUNDS
    for backup_id in list(life.digests):
        life.delete(backup_id)
    for _ in range(2):
        command("repo", "collect", "--state-dir", service.state)
    left = [item.name for item in place.open().list("d/")]
    assert [name for name in left if "/key/" not in name] == []
