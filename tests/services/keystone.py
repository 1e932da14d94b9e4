"""A real Keystone (version 3): SQLite, Fernet tokens, a project with a user, and a service user."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keystoneauth1.identity import V3Password
from keystoneauth1.session import Session
from tests.services.packages import environment
from tests.services.servers import free_ports, serving

REGION = "RegionOne"
ADMIN_PASSWORD = "admin-password"


@dataclass(frozen=True)
class Keystone:
    """What a client needs; all names are of the domain `Default`."""

    auth_url: str
    region: str
    project: str
    project_id: str
    user: str
    user_id: str
    password: str
    service_user: str
    service_password: str
    admin: Session

    def offer(self, kind: str, url: str) -> None:
        """Put a service into the catalogue; `url` may contain `$(project_id)s`."""
        service = {"type": kind, "name": kind}
        service_id = _post(self.admin, "/services", "service", service)["id"]
        endpoint = {"interface": "public", "region_id": REGION, "service_id": service_id}
        _post(self.admin, "/endpoints", "endpoint", {**endpoint, "url": url})

    def ec2_credential(self) -> tuple[str, str]:
        """A new access key and its secret, of the user in the project."""
        answer = self.admin.post(
            f"/users/{self.user_id}/credentials/OS-EC2",
            json={"tenant_id": self.project_id},
            endpoint_override=self.auth_url,
        )
        credential = answer.json()["credential"]
        return credential["access"], credential["secret"]


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Keystone]:
    """Run Keystone on `directory` while the context lasts."""
    commands = environment("keystone")
    (port,) = free_ports(1)
    auth_url = f"http://127.0.0.1:{port}/v3"
    file = directory / "keystone.conf"
    file.write_text(CONFIGURATION.format(at=directory, port=port))
    for keys in ("fernet", "credential"):
        (directory / keys).mkdir(mode=0o700)
    manage = [commands / "keystone-manage", "--config-file", file]
    owner = [f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}"]
    urls = [f"--bootstrap-{kind}-url={auth_url}" for kind in ("public", "internal", "admin")]
    names = [f"--bootstrap-password={ADMIN_PASSWORD}", f"--bootstrap-region-id={REGION}"]
    with (directory / "manage.log").open("wb") as log:
        for arguments in (
            ["db_sync"],
            ["fernet_setup", *owner],
            ["credential_setup", *owner],
            ["bootstrap", *names, *urls],
        ):
            subprocess.run([*manage, *arguments], check=True, stdout=log, stderr=log)
    with serving(
        [commands / "python", "-c", SERVE.format(port=port)],
        log=directory / "server.log",
        answers=port,
        environment={"OS_KEYSTONE_CONFIG_FILES": str(file)},
    ):
        yield _populated(auth_url)


def _populated(auth_url: str) -> Keystone:
    admin = Session(
        V3Password(
            auth_url=auth_url,
            username="admin",
            password=ADMIN_PASSWORD,
            project_name="admin",
            user_domain_name="Default",
            project_domain_name="Default",
        )
    )
    roles = {
        role["name"]: role["id"]
        for role in admin.get("/roles", endpoint_override=auth_url).json()["roles"]
    }

    def member(user: str, password: str, project: str, granted: list[str]) -> tuple[str, str]:
        """Make a user and a project; return their ids."""
        here = {"domain_id": "default"}
        project_id = _post(admin, "/projects", "project", {"name": project, **here})["id"]
        new = {"name": user, "password": password, **here}
        user_id = _post(admin, "/users", "user", new)["id"]
        for role in granted:
            path = f"/projects/{project_id}/users/{user_id}/roles/{roles[role]}"
            admin.put(path, endpoint_override=auth_url)
        return user_id, project_id

    member("swift", "swift-password", "service", ["admin", "service"])
    user_id, project_id = member("backup", "backup-password", "backups", ["member"])
    return Keystone(
        auth_url=auth_url,
        region=REGION,
        project="backups",
        project_id=project_id,
        user="backup",
        user_id=user_id,
        password="backup-password",
        service_user="swift",
        service_password="swift-password",
        admin=admin,
    )


def _post(admin: Session, path: str, key: str, content: dict[str, str]) -> dict[str, Any]:
    answer = admin.post(path, json={key: content}, endpoint_filter={"service_type": "identity"})
    return dict(answer.json()[key])


CONFIGURATION = """\
[DEFAULT]
public_endpoint = http://127.0.0.1:{port}
[database]
connection = sqlite:///{at}/keystone.sqlite
[identity]
password_hash_rounds = 4
[token]
expiration = 86400
[fernet_tokens]
key_repository = {at}/fernet
[credential]
key_repository = {at}/credential
"""
# One thread, because SQLite has one writer: a second request would see "locked".
SERVE = """\
import waitress
from keystone.wsgi.api import application
waitress.serve(application, host="127.0.0.1", port={port}, threads=1)
"""
