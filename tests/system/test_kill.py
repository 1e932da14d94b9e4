"""SIGKILL in the middle of the work: started again, everything ends as if nothing had happened."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.system.service import PROJECT, Service, command, serving, until

ROUNDS = 10
DATA = 192 << 20  # bytes of a volume that are not holes
VICTIMS: dict[str, tuple[str, ...]] = {
    "worker": ("worker",),
    "api": ("api",),
    "both": ("worker", "api"),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image"
    dice = random.Random(7)
    with path.open("wb") as file:
        for _ in range(DATA >> 20):
            file.write(dice.randbytes(1 << 19) + bytes(range(256)) * (1 << 11))
            file.seek(1 << 20, 1)
        file.truncate(1 << 30)
    return path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "state", "--availability-zones", "az1,az2") as running:
        yield running


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kill_at(service: Service, victims: tuple[str, ...], backup_id: str, share: float) -> None:
    """Kill the victims when the backup's job has done `share` of its bytes, or just ended."""

    def reached() -> bool:
        progress = service.progress(backup_id)
        total = progress["bytes_total"]
        return progress["state"] == "done" or bool(
            total and progress["bytes_done"] / total >= share
        )

    processes = [service.child(victim) for victim in victims]
    until(reached, f"progress of {share:.0%}")
    for process in processes:
        process.kill()
    for process in processes:
        process.wait(30)


def settled(read: Callable[[], dict[str, object]], transient: set[str]) -> dict[str, object]:
    """Wait until the status is none of the transient ones; the API may be away meanwhile."""

    def look() -> dict[str, object] | None:
        try:
            shown = read()
        except OSError:
            return None
        return None if shown["status"] in transient else shown

    return until(look, f"an end of {transient}")


def ended(service: Service, backup_id: str, volume_id: str) -> None:
    """Wait until neither the backup nor the volume is in the middle of anything."""
    settled(lambda: service.backup(backup_id), {"creating", "restoring"})
    settled(lambda: service.volume(volume_id), {"backing-up", "restoring-backup", "creating"})


@pytest.mark.slow
@pytest.mark.parametrize("victims", VICTIMS.values(), ids=VICTIMS)
def test_killed_in_a_backup_or_a_restore_all_ends_well(
    service: Service, image: Path, victims: tuple[str, ...]
) -> None:
    wanted = digest(image)
    volume = json.loads(
        command(
            *("volume", "import", "--json", "--state-dir", service.state, "--name", "v"),
            *("--availability-zone", "az1", "--project", PROJECT, image),
        )
    )
    target = service.call("POST", "/volumes", {"volume": {"size": 1, "name": "target"}}).body
    target_id = target["volume"]["id"]
    settled(lambda: service.volume(target_id), {"creating"})
    for number in range(ROUNDS):
        share = 0.2 + 0.6 * number / (ROUNDS - 1)
        asked = {"volume_id": volume["id"], "availability_zone": "az2"}
        created = service.call("POST", "/backups", {"backup": asked})
        assert created.status == 202, created
        backup_id = created.body["backup"]["id"]
        kill_at(service, victims, backup_id, share)
        ended(service, backup_id, volume["id"])
        assert service.backup(backup_id)["status"] == "available"
        assert service.volume(volume["id"])["status"] == "available"

        restore = {"restore": {"volume_id": target_id}}
        accepted = service.call("POST", f"/backups/{backup_id}/restore", restore)
        assert accepted.status == 202, accepted
        kill_at(service, victims, backup_id, share)
        ended(service, backup_id, target_id)
        assert service.backup(backup_id)["status"] == "available"
        assert service.volume(target_id)["status"] == "available"
        assert digest(service.path(target_id)) == wanted

        assert service.call("DELETE", f"/backups/{backup_id}").status == 202
        until(
            lambda gone=backup_id: service.call("GET", f"/backups/{gone}").status == 404,
            "the end of the deletion",
        )
    assert service.call("GET", "/backups").body == {"backups": []}


@pytest.mark.slow
def test_killed_in_a_revert_the_volume_is_reverted(service: Service, image: Path) -> None:
    wanted = digest(image)
    imported = command(
        *("volume", "import", "--json", "--state-dir", service.state, "--name", "v"),
        *("--availability-zone", "az1", "--project", PROJECT, image),
    )
    volume_id = json.loads(imported)["id"]
    path = service.path(volume_id)
    asked = {"snapshot": {"volume_id": volume_id}}
    snapshot_id = service.call("POST", "/snapshots", asked).body["snapshot"]["id"]

    def snapshot() -> dict[str, object]:
        return dict(service.call("GET", f"/snapshots/{snapshot_id}").body["snapshot"])

    settled(snapshot, {"creating"})
    whole = sorted(found.name for found in path.parent.iterdir())
    for _ in range(3):
        with path.open("r+b") as file:
            file.write(b"written since")
        worker = service.child("worker")
        revert = {"revert": {"snapshot_id": snapshot_id}}
        assert service.call("POST", f"/volumes/{volume_id}/action", revert).status == 202
        until(
            lambda: (
                list(path.parent.glob(f".{volume_id}.*"))
                or service.volume(volume_id)["status"] != "reverting"
            ),
            "the copy of the snapshot",
        )
        worker.kill()
        worker.wait(30)
        assert settled(lambda: service.volume(volume_id), {"reverting"})["status"] == "available"
        assert snapshot()["status"] == "available"
        assert digest(path) == wanted
        assert sorted(found.name for found in path.parent.iterdir()) == whole
