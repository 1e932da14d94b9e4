"""docs/operator.md, the chapter on Keystone: its commands do what it says, as it has them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.services.conftest import keystone, people  # noqa: F401 (fixtures)
from tests.services.keystone import ADMIN_PASSWORD, Keystone, People, Person, cloud
from tests.services.packages import CHECKOUT
from tests.services.servers import free_ports

pytestmark = pytest.mark.slow

CLIENT = CHECKOUT / ".venv-openstackclient" / "bin"


def blocks() -> list[str]:
    """The chapter's blocks of shell, in order."""
    page = (CHECKOUT / "docs" / "operator.md").read_text()
    chapter = page.partition("\n## Behind Keystone\n")[2].partition("\n## ")[0]
    return re.findall(r"^```shell\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)


def with_values(block: str, values: dict[str, str]) -> str:
    """The block of variables, with other values for each that is named."""
    for name, value in values.items():
        block, count = re.subn(rf"\b{name}=\S+", f"{name}={shlex.quote(value)}", block)
        assert count == 1, name
    return block


def test_the_chapter_leads_to_a_protected_service(
    tmp_path: Path,
    keystone: Keystone,  # noqa: F811
    people: People,  # noqa: F811
) -> None:
    (port,) = free_ports(1)
    admin = Person("admin", ADMIN_PASSWORD, "", "admin", "")
    clouds = {
        name: cloud(person, keystone.auth_url)
        for name, person in (("admin", admin), ("demo", people.by_role["demo", "member"]))
    }
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))
    variables, *rest = blocks()
    assert len(rest) == 5
    chosen = {
        "STATE": str(tmp_path / "state"),
        "KEYSTONE": keystone.auth_url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "BIND": "127.0.0.1",
    }
    script = "\n".join(
        [
            "set -eu; trap 'kill %1; wait' EXIT",
            with_values(variables, chosen),
            *rest,
            "openstack --os-cloud demo volume backup list --format value --column Name",
        ]
    )
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "emberkeep").write_text(f'#!/bin/sh\nexec {sys.executable} -m emberkeep "$@"\n')
    (commands / "emberkeep").chmod(0o755)
    ran = subprocess.run(
        ["bash", "-c", script],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OS_")},
            "PATH": f"{commands}:{CLIENT}:{os.environ['PATH']}",
            "OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    decision = "backup:delete: denied (role:admin or (role:backup_keeper and project_id:"
    assert decision in ran.stdout
    assert "Policy doesn't allow backup:delete to be performed." in said
    assert "as the policy says" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "first"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
