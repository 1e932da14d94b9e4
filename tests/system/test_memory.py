"""What the worker holds in memory follows its budget, not the volume's size."""

import json
import os
from pathlib import Path

import pytest
from tests.system.service import PROJECT, command, serving, until

GIB = 1 << 30
MIB = 1 << 20
ALLOWED = 256 * MIB  # above what the worker holds when it is idle


def write_spread(path: Path, *, size: int, data: int) -> None:
    """A sparse file with `data` bytes in pieces of a MiB all over it, half of each noise."""
    pieces = data // MIB
    with path.open("wb") as file:
        for number in range(pieces):
            file.seek(number * (size // pieces))
            file.write(os.urandom(MIB // 2) + bytes(range(256)) * (MIB // 512))
        file.truncate(size)


def memory(pid: int, which: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{which}:"))
    return int(found) * 1024


@pytest.mark.slow
def test_a_backup_of_64_gib_stays_within_256_mib_above_idle(tmp_path: Path) -> None:
    image = tmp_path / "image"
    write_spread(image, size=64 * GIB, data=4 * GIB)
    with serving(tmp_path / "state") as service:
        imported = command(
            *("volume", "import", "--json", "--reference", "--state-dir", service.state),
            *("--availability-zone", "az1", "--project", PROJECT, image),
        )
        worker = service.child("worker").pid
        idle = memory(worker, "VmRSS")
        asked = {"backup": {"volume_id": json.loads(imported)["id"], "availability_zone": "az2"}}
        backup = service.call("POST", "/backups", asked).body["backup"]["id"]
        until(lambda: service.backup(backup)["status"] != "creating", "the end", seconds=300)
        assert service.backup(backup)["status"] == "available"
        peak = memory(worker, "VmHWM")
        assert peak - idle <= ALLOWED, f"{(peak - idle) / MIB:.0f} MiB above idle"
        assert peak > idle
        print(f"peak {(peak - idle) / MIB:.0f} MiB above {idle / MIB:.0f} MiB when idle")
