"""`make demo`: the main job through the unmodified `openstack` client, as a person runs it.

Also with the second zone's backups in Swift and in S3.
"""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from tests.services.conftest import swift  # noqa: F401 (fixture)
from tests.services.s3 import url
from tests.services.swift import Swift

DEMO = Path(__file__).parents[2] / "demo"

pytestmark = pytest.mark.slow


def shown(*options: str) -> None:
    """Run it, and see that all went well and nothing stayed."""
    checked = subprocess.run([sys.executable, str(DEMO / "check.py")], capture_output=True)
    assert checked.returncode == 0, checked.stderr
    ran = subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), *options],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert ran.stdout.count("identical") == 4
    assert "Everything restored byte for byte." in ran.stdout
    assert not (DEMO.parent / ".demo").exists()


def test_the_demo_restores_byte_for_byte_and_leaves_nothing_running() -> None:
    shown()


def test_the_same_with_backups_in_swift(swift: Swift, tmp_path: Path) -> None:  # noqa: F811
    options = tmp_path / "az2"
    options.write_text(
        f"repository = swift:///demo-{uuid.uuid4()}\n"
        f"store_auth_url = {swift.auth_url}\n"
        f"store_username = {swift.user}\n"
        f"store_password = {swift.key}\n"
    )
    shown(str(options))


def test_the_same_with_backups_in_s3(swift: Swift, tmp_path: Path) -> None:  # noqa: F811
    options = tmp_path / "az2"
    options.write_text(
        f"repository = {url(swift)}\n"
        f"store_access_key = {swift.s3_access_key}\n"
        f"store_secret_key = {swift.s3_secret_key}\n"
    )
    shown(str(options))
