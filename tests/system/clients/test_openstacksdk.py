"""openstacksdk from Python, without Keystone; with it: test_keystone.py."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.system.clients.page import PAGE
from tests.system.clients.programs import PATIENCE, alone, python_with_sdk
from tests.system.clients.stage import Project, project_on
from tests.system.service import Service

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def run_the_script(
    project: Project, home: Path, connect: dict[str, object], *, user: str, admin: bool = True
) -> None:
    """Let the SDK back the data up and restore it in all ways, and compare it."""
    volume = project.volume("data", seed=1)
    told = {"connect": connect, "owner": [user, project.id], "admin": admin}
    done = subprocess.run(
        [python_with_sdk(), HERE / "sdk_backups.py"],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=alone(home),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    restored = json.loads(done.stdout)
    assert len(restored) == 3
    for one in restored:
        assert project.content(one) == project.content(volume)


@pytest.fixture
def elsewhere(service: Service) -> None:
    other = project_on(service)
    other.backup(other.volume("theirs"), "elsewhere")


@pytest.mark.usefixtures("elsewhere")
def test_every_call_with_auth_type_admin_token(project: Project, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{project.service.port}/v3"
    connect = {
        "auth_type": "admin_token",
        "auth": {"endpoint": endpoint, "token": f"operator:{project.id}"},
        "volume_api_version": "3",
    }
    run_the_script(project, tmp_path, connect, user="operator")


@pytest.mark.usefixtures("elsewhere")
def test_every_call_with_auth_type_none(service: Service, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{service.port}/v3"
    connect = {
        "auth_type": "none",
        "auth": {"endpoint": endpoint},
        "volume_api_version": "3",
    }
    run_the_script(Project(service, "notused"), tmp_path, connect, user="notused")


def test_the_session_of_the_page(service: Service, tmp_path: Path) -> None:
    """With the clouds.yaml that the service wrote."""
    cloud = {"OS_CLIENT_CONFIG_FILE": str(service.state / "clouds.yaml"), "OS_CLOUD": "emberkeep"}
    done = subprocess.run(
        [python_with_sdk(), HERE / "sdk_session.py", PAGE],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=alone(tmp_path) | cloud,
    )
    assert done.returncode == 0, done.stdout + done.stderr
