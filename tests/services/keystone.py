"""A real Keystone (version 3): SQLite, Fernet tokens, a project with a user, and a service user.

`people` adds what tests of roles need: two projects with an admin, a member and a reader each, and
a user for the block-storage service itself.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from keystoneauth1.identity import V3ApplicationCredential, V3Password
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
    directory: Path

    @contextlib.contextmanager
    def with_short_tokens(self, seconds: int) -> Iterator["Keystone"]:
        """The same Keystone on another port, whose tokens last so long only."""
        with _serving(self.directory, expiration=seconds) as auth_url:
            yield replace(self, auth_url=auth_url)

    def offer(self, kind: str, url: str) -> None:
        """Put a service into the catalogue, or change where it is.

        `url` may contain `$(project_id)s`.
        """
        found = self._get(f"/services?type={kind}")["services"]
        if not found:
            found = [self._post("/services", "service", {"type": kind, "name": kind})]
        service_id = found[0]["id"]
        for endpoint in self._get(f"/endpoints?service_id={service_id}")["endpoints"]:
            self.admin.delete(f"/endpoints/{endpoint['id']}", endpoint_override=self.auth_url)
        place = {"region_id": self.region, "service_id": service_id, "url": url}
        for interface in ("public", "internal"):
            self._post("/endpoints", "endpoint", {"interface": interface, **place})

    def offer_block_storage(self, url: str) -> None:
        """Put the API at `url` into the catalogue, under the types that clients look for."""
        for kind in ("block-storage", "volumev3"):
            self.offer(kind, url)

    def session(self, person: "Person", **scope: Any) -> Session:
        """Somebody's session, in the own project unless `scope` says otherwise."""
        here: dict[str, Any] = {
            "project_name": person.project,
            "project_domain_name": "Default",
        }
        return Session(
            V3Password(
                auth_url=self.auth_url,
                username=person.name,
                password=person.password,
                user_domain_name="Default",
                **(scope or here),
            )
        )

    def token(self, person: "Person", **scope: Any) -> str:
        token = self.session(person, **scope).get_token()
        assert token is not None
        return token

    def restricted_token(self, person: "Person", rules: list[dict[str, str]]) -> str:
        """A token of an application credential with these access rules."""
        session = self.session(person)
        asked = {"name": "restricted", "secret": "restricted-secret", "access_rules": rules}
        path = f"/users/{person.user_id}/application_credentials"
        answer = session.post(
            path, json={"application_credential": asked}, endpoint_override=self.auth_url
        )
        credential = answer.json()["application_credential"]
        auth = V3ApplicationCredential(
            auth_url=self.auth_url,
            application_credential_id=credential["id"],
            application_credential_secret="restricted-secret",
        )
        token = Session(auth).get_token()
        assert token is not None
        return token

    def revoke(self, token: str) -> None:
        self.admin.delete(
            "/auth/tokens", endpoint_override=self.auth_url, headers={"X-Subject-Token": token}
        )

    def add_user(
        self, name: str, password: str, project: str | None = None, roles: Iterable[str] = ()
    ) -> "Person":
        """A user, and the project that it has roles in, which may be there already."""
        if project is None:
            project_id = ""
        elif found := self._get(f"/projects?name={project}")["projects"]:
            project_id = found[0]["id"]
        else:
            new = {"name": project, "domain_id": "default"}
            project_id = self._post("/projects", "project", new)["id"]
        new = {"name": name, "password": password, "domain_id": "default"}
        user_id = self._post("/users", "user", new)["id"]
        for role in roles:
            self.grant(user_id, role, f"/projects/{project_id}")
        return Person(name, password, user_id, project or "", project_id)

    def grant(self, user_id: str, role: str, where: str) -> None:
        """`where` is the path of a project, of a domain, or `/system`."""
        role_id = self._get(f"/roles?name={role}")["roles"][0]["id"]
        path = f"{where}/users/{user_id}/roles/{role_id}"
        self.admin.put(path, endpoint_override=self.auth_url)

    def ec2_credential(self) -> tuple[str, str]:
        """A new access key and its secret, of the user in the project."""
        answer = self.admin.post(
            f"/users/{self.user_id}/credentials/OS-EC2",
            json={"tenant_id": self.project_id},
            endpoint_override=self.auth_url,
        )
        credential = answer.json()["credential"]
        return credential["access"], credential["secret"]

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self.admin.get(path, endpoint_override=self.auth_url).json())

    def _post(self, path: str, key: str, content: dict[str, str]) -> dict[str, Any]:
        answer = self.admin.post(path, json={key: content}, endpoint_override=self.auth_url)
        return dict(answer.json()[key])


@dataclass(frozen=True)
class Person:
    """A user, with the project that it works in; names are of the domain `Default`."""

    name: str
    password: str
    user_id: str
    project: str
    project_id: str


PROJECTS = ("demo", "alt")
ROLES = ("admin", "member", "reader")


@dataclass(frozen=True)
class People:
    """Who is there: `by_role[project, role]`, and the service's own user."""

    by_role: Mapping[tuple[str, str], Person]
    service: Person

    def clouds(self, auth_url: str, region: str = REGION) -> str:
        """A clouds.yaml with a cloud for everybody, by the user's name: demo-member, …"""
        everybody = [*self.by_role.values(), self.service]
        return yaml.safe_dump(
            {"clouds": {one.name: cloud(one, auth_url, region) for one in everybody}}
        )


def cloud(person: Person, auth_url: str, region: str = REGION) -> dict[str, Any]:
    """Somebody's part of a clouds.yaml."""
    return {
        "auth": {
            "auth_url": auth_url,
            "username": person.name,
            "password": person.password,
            "project_name": person.project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": region,
        "volume_api_version": "3",
        "volume_default_microversion": "3.71",
    }


def people(keystone: Keystone) -> People:
    """Add them; once for a Keystone.  The service's user may validate tokens and no more."""
    return People(
        by_role={
            (project, role): keystone.add_user(
                f"{project}-{role}", f"{project}-{role}-password", project, [role]
            )
            for project in PROJECTS
            for role in ROLES
        },
        service=keystone.add_user("keeper", "keeper-password", "service", ["service"]),
    )


def options(keystone: Keystone, service: Person) -> str:
    """What the block-storage service's configuration says to be protected by `keystone`."""
    return OPTIONS.format(keystone=keystone, service=service)


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Keystone]:
    """Run Keystone on `directory` while the context lasts."""
    commands = environment("keystone")
    file = directory / "keystone.conf"
    file.write_text(CONFIGURATION.format(at=directory, expiration=86400))
    for keys in ("fernet", "credential"):
        (directory / keys).mkdir(mode=0o700)
    manage = [commands / "keystone-manage", "--config-file", file]
    owner = [f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}"]
    names = [f"--bootstrap-password={ADMIN_PASSWORD}", f"--bootstrap-region-id={REGION}"]
    with (directory / "manage.log").open("wb") as log:
        for arguments in (
            ["db_sync"],
            ["fernet_setup", *owner],
            ["credential_setup", *owner],
            ["bootstrap", *names],
        ):
            subprocess.run([*manage, *arguments], check=True, stdout=log, stderr=log)
    with _serving(directory, expiration=86400) as auth_url:
        yield _populated(auth_url, directory)


@contextlib.contextmanager
def _serving(directory: Path, *, expiration: int) -> Iterator[str]:
    """Answer on a free port; the address."""
    (port,) = free_ports(1)
    file = directory / f"keystone-{port}.conf"
    file.write_text(CONFIGURATION.format(at=directory, expiration=expiration))
    with serving(
        [environment("keystone") / "python", "-c", SERVE.format(port=port)],
        log=directory / "server.log",
        answers=port,
        environment={"OS_KEYSTONE_CONFIG_FILES": str(file)},
    ):
        yield f"http://127.0.0.1:{port}/v3"


def _populated(auth_url: str, directory: Path) -> Keystone:
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
    unfinished = Keystone(auth_url, REGION, "", "", "", "", "", "", "", admin, directory)
    unfinished.offer("identity", auth_url)
    swift = unfinished.add_user("swift", "swift-password", "service", ["admin", "service"])
    user = unfinished.add_user("backup", "backup-password", "backups", ["member"])
    return replace(
        unfinished,
        project=user.project,
        project_id=user.project_id,
        user=user.name,
        user_id=user.user_id,
        password=user.password,
        service_user=swift.name,
        service_password=swift.password,
    )


CONFIGURATION = """\
[database]
connection = sqlite:///{at}/keystone.sqlite
[identity]
password_hash_rounds = 4
[token]
expiration = {expiration}
# Without it, to look at a token costs more than all else.
[cache]
backend = dogpile.cache.memory
[fernet_tokens]
key_repository = {at}/fernet
[credential]
key_repository = {at}/credential
"""
OPTIONS = """\
[DEFAULT]
auth_strategy = keystone
[keystone_authtoken]
auth_type = password
www_authenticate_uri = {keystone.auth_url}
auth_url = {keystone.auth_url}
username = {service.name}
password = {service.password}
project_name = {service.project}
user_domain_name = Default
project_domain_name = Default
"""
# One thread, because SQLite has one writer: a second request would see "locked".
SERVE = """\
import waitress
from keystone.wsgi.api import application
waitress.serve(application, host="127.0.0.1", port={port}, threads=1)
"""
