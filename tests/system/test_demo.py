"""`make demo`: the main job through the unmodified `openstack` client, as a person runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo"


@pytest.mark.slow
def test_the_demo_restores_byte_for_byte_and_leaves_nothing_running() -> None:
    checked = subprocess.run([sys.executable, str(DEMO / "check.py")], capture_output=True)
    assert checked.returncode == 0, checked.stderr
    shown = subprocess.run(
        [sys.executable, str(DEMO / "demo.py")], capture_output=True, text=True, timeout=900
    )
    assert shown.returncode == 0, shown.stdout[-4000:] + shown.stderr[-4000:]
    assert shown.stdout.count("identical") == 4
    assert "Everything restored byte for byte." in shown.stdout
    assert not (DEMO.parent / ".demo").exists()
