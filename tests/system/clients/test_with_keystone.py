"""The clients with a real Keystone: an admin, a member and a reader of one project; a stranger."""

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.services import keystone as keystone_module
from tests.services.keystone import ROLES, Keystone, Person
from tests.system.clients import programs
from tests.system.clients.page import Listing
from tests.system.clients.programs import OPENSTACK, Client, fields, rows
from tests.system.clients.stage import Project
from tests.system.clients.test_openstacksdk import run_the_script
from tests.system.service import QUICK, Service, serving, until

pytestmark = pytest.mark.slow

CONF = """\
[DEFAULT]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = {keystone.auth_url}
auth_url = {keystone.auth_url}
auth_type = password
username = {user.name}
password = {user.password}
project_name = {user.project}
user_domain_name = Default
project_domain_name = Default
"""


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    with keystone_module.running(tmp_path_factory.mktemp("keystone")) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("clients") / "state"
    state.mkdir()
    user = keystone.add_user("emberkeep", "emberkeep-password", "service", ["service"])
    (state / "emberkeep.conf").write_text(CONF.format(keystone=keystone, user=user) + QUICK)
    with serving(state) as running:
        keystone.offer_block_storage(f"http://127.0.0.1:{running.port}/v3/$(project_id)s")
        yield running


@dataclass(frozen=True)
class Team:
    """People of a project of their own, by role, and `stranger`, a member of another one."""

    keystone: Keystone
    project: Project
    people: Mapping[str, Person]
    home: Path
    listing: Listing

    def openstack(self, who: str) -> Client:
        """With a clouds.yaml in which each of them has a cloud."""
        file = self.home / "clouds.yaml"
        if not file.exists():
            clouds = {name: self._cloud(person) for name, person in self.people.items()}
            file.write_text(yaml.safe_dump({"clouds": clouds}))
        settings = {"OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": who}
        return self._client(OPENSTACK, settings, f"OS_CLOUD={who} ")

    def cinder(self, who: str) -> Client:
        settings = {f"OS_{key}".upper(): value for key, value in self.signed_in(who).items()}
        return self._client(programs.cinder(), settings, f"OS_USERNAME={who} ")

    def _client(self, program: Path, settings: Mapping[str, str], prefix: str) -> Client:
        return Client(program, settings, self.home, self.listing.add, prefix=prefix)

    def _cloud(self, person: Person) -> dict[str, object]:
        return {"auth": self._auth(person), "region_name": self.keystone.region}

    def signed_in(self, who: str) -> dict[str, str]:
        return self._auth(self.people[who])

    def _auth(self, person: Person) -> dict[str, str]:
        return {
            "auth_url": self.keystone.auth_url,
            "username": person.name,
            "password": person.password,
            "project_name": person.project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }


@pytest.fixture
def team(service: Service, keystone: Keystone, tmp_path: Path, listing: Listing) -> Team:
    mark = uuid.uuid4().hex[:8]
    people = {
        role: keystone.add_user(f"{role}-{mark}", f"{role}-password", f"demo-{mark}", [role])
        for role in ROLES
    }
    stranger = keystone.add_user(f"stranger-{mark}", "a-password", f"alt-{mark}", ["member"])
    member = people["member"]
    project = Project(service, member.project_id, keystone.token(member))
    listing.hide(f"-{mark}", "")
    return Team(keystone, project, {**people, "stranger": stranger}, tmp_path, listing)


def denied(rule: str) -> str:
    return f"Policy doesn't allow {rule} to be performed."


def names(printed: str) -> list[str]:
    return [row["Name"] for row in rows(printed)]


# openstack


def test_openstack_of_a_member(team: Team) -> None:
    member = team.openstack("member")
    member("volume", "create", "--size", "1", "data", "-c", "id", "-c", "name", "-c", "status")
    volume = team.project.find("volume", "data")["id"]
    team.project.write(volume, seed=1)
    member("volume", "backup", "create", "--name", "monday", "data")
    backup = team.project.find("backup", "monday")["id"]
    assert names(member("volume", "backup", "list")) == ["monday"]
    member("volume", "backup", "set", "--property", "ticket=17", "monday")
    seen = member.json("volume", "backup", "show", "monday")
    assert (seen["id"], seen["metadata"]) == (backup, {"ticket": "17"})
    assert (seen["project_id"], seen["user_id"]) == (None, None)  # for admins only
    member("volume", "backup", "restore", "monday", "copy")
    copy = team.project.find("volume", "copy")["id"]
    assert team.project.restored(copy) == team.project.content(volume)
    for command, rule in (
        (("record", "export", "monday"), "backup:export-import"),
        (
            ("set", "--state", "error", "monday"),
            "volume_extension:backup_admin_actions:reset_status",
        ),
        (
            ("delete", "--force", "monday"),
            "volume_extension:backup_admin_actions:force_delete",
        ),
    ):
        assert denied(rule) in member.refused("volume", "backup", *command)
    member("volume", "backup", "delete", "monday")
    team.project.gone("backup", backup)


def test_openstack_of_a_reader(team: Team) -> None:
    backup = team.project.backup(team.project.volume("data"), "monday")
    reader = team.openstack("reader")
    assert names(reader("volume", "backup", "list")) == ["monday"]
    assert reader.json("volume", "backup", "show", "monday")["id"] == backup
    for command, rule in (
        (("create", "data"), "backup:create"),
        (("set", "--name", "x", "monday"), "backup:update"),
        (("restore", "monday", "copy"), "backup:restore"),
        (("delete", "monday"), "backup:delete"),
    ):
        assert denied(rule) in reader.refused("volume", "backup", *command)
    assert team.project.show("backup", backup)["name"] == "monday"


def test_openstack_of_a_stranger(team: Team) -> None:
    backup = team.project.backup(team.project.volume("data"), "monday")
    stranger = team.openstack("stranger")
    assert names(stranger("volume", "backup", "list", "--all-projects")) == []
    for command in (
        ("show", backup),
        ("delete", backup),
        ("restore", backup, "copy"),
        ("set", "--name", "x", backup),
    ):
        said = stranger.refused("volume", "backup", *command)
        assert f"No Backup found for {backup}" in said
    said = stranger.refused("volume", "backup", "create", "data")
    assert "No Volume found for data" in said


def test_openstack_of_an_admin(team: Team) -> None:
    project = team.project
    backup = project.backup(project.volume("data"), "monday")
    admin = team.openstack("admin")
    other = Project(
        project.service,
        team.people["stranger"].project_id,
        team.keystone.token(team.people["stranger"]),
    )
    other.backup(other.volume("theirs"), "theirs")
    assert names(admin("volume", "backup", "list")) == ["monday"]
    theirs = team.people["stranger"].project
    assert names(admin("volume", "backup", "list", "--project", theirs)) == ["theirs"]
    everywhere = admin.json("volume", "backup", "list", "--all-projects")
    assert {"monday", "theirs"} <= {row["Name"] for row in everywhere}
    seen = admin.json("volume", "backup", "show", "monday")
    assert (seen["project_id"], seen["user_id"]) == (project.id, team.people["member"].user_id)
    admin("volume", "backup", "record", "export", "monday")
    for state in ("error", "available"):
        admin("volume", "backup", "set", "--state", state, "monday")
        until(lambda state=state: project.show("backup", backup)["status"] == state, state)
    admin("volume", "backup", "delete", "--force", "monday")
    project.gone("backup", backup)


def test_openstack_quotas(team: Team) -> None:
    """`openstack` looks projects up in Keystone, so these need one."""
    project = team.people["member"].project
    admin, member = team.openstack("admin"), team.openstack("member")
    team.project.volume("data")
    admin("quota", "set", "--backups", "1", "--backup-gigabytes", "5", project)
    member.run("volume", "backup", "create", "--name", "monday", "data")
    team.project.find("backup", "monday")
    member("quota", "show", "--volume", "--usage")
    used = {row["Resource"]: row for row in member.json("quota", "show", "--volume", "--usage")}
    assert (used["backups"]["Limit"], used["backups"]["In Use"]) == (1, 1)
    assert (used["backup-gigabytes"]["Limit"], used["backup-gigabytes"]["In Use"]) == (5, 1)
    refusal = member.refused("volume", "backup", "create", "data")
    assert "Maximum number of backups allowed (1) exceeded" in refusal
    limits = {row["Name"]: row["Value"] for row in member.json("limits", "show", "--absolute")}
    assert (limits["max_total_backups"], limits["total_backups_used"]) == (1, 1)
    own = team.project.id  # a member may not look projects up by their names
    refusal = member.refused("quota", "set", "--backups", "9", own)
    assert denied("volume_extension:quotas:update") in refusal
    admin("quota", "delete", "--volume", project)
    after = {row["Resource"]: row for row in member.json("quota", "show", "--volume")}
    assert after["backups"]["Limit"] == 10


def test_openstack_with_a_wrong_password(team: Team) -> None:
    member = team.openstack("member")
    said = member.refused("--os-password", "wrong", "volume", "backup", "list")
    assert "The request you have made requires authentication. (HTTP 401)" in said


def test_an_endpoint_without_the_project(team: Team, keystone: Keystone) -> None:
    """The catalogue may say …/v3 as well as …/v3/$(project_id)s."""
    url = f"http://127.0.0.1:{team.project.service.port}/v3"
    team.project.backup(team.project.volume("data"), "monday")
    keystone.offer_block_storage(url)
    try:
        for printed in (
            team.openstack("member").run("volume", "backup", "list").output,
            team.cinder("member").run("backup-list").output,
        ):
            assert names(printed) == ["monday"]
    finally:
        keystone.offer_block_storage(f"{url}/$(project_id)s")


# cinder


def test_cinder_of_a_member(team: Team) -> None:
    volume = team.project.volume("data", seed=1)
    member = team.cinder("member")
    member("backup-create", "--name", "monday", "data")
    backup = team.project.find("backup", "monday")["id"]
    assert names(member("backup-list")) == ["monday"]
    assert rows(member.run("backup-list").output)[0]["User ID"] == ""
    member("backup-update", "--description", "kept", "monday")
    assert fields(member.run("backup-show", "monday").output)["description"] == "kept"
    restored = fields(member("backup-restore", "--name", "copy", "monday"))["volume_id"]
    assert team.project.restored(restored) == team.project.content(volume)
    for words, rule in (
        (("backup-export", backup), "backup:export-import"),
        (
            ("backup-reset-state", "monday"),
            "volume_extension:backup_admin_actions:reset_status",
        ),
        (
            ("backup-delete", "--force", "monday"),
            "volume_extension:backup_admin_actions:force_delete",
        ),
    ):
        assert denied(rule) in member.refused(*words)
    member("backup-delete", "monday")
    team.project.gone("backup", backup)


def test_cinder_of_a_reader_and_a_stranger(team: Team) -> None:
    team.project.backup(team.project.volume("data"), "monday")
    reader = team.cinder("reader")
    assert names(reader("backup-list")) == ["monday"]
    for words, rule in (
        (("backup-create", "data"), "backup:create"),
        (("backup-update", "--name", "x", "monday"), "backup:update"),
        (("backup-restore", "monday"), "backup:restore"),
        (("backup-delete", "monday"), "backup:delete"),
    ):
        assert denied(rule) in reader.refused(*words)
    stranger = team.cinder("stranger")
    assert names(stranger("backup-list", "--all-tenants")) == []
    said = stranger.refused("backup-show", "monday")
    assert "No volumebackup with a name or ID of 'monday' exists." in said


def test_cinder_of_an_admin(team: Team) -> None:
    project = team.project
    volume = project.volume("data", seed=1)
    wanted = project.content(volume)
    backup = project.backup(volume, "monday")
    admin = team.cinder("admin")
    record = fields(admin("backup-export", backup))
    content = json.loads(base64.b64decode(record["backup_url"], validate=True))
    other = str(uuid.uuid4())
    url = base64.b64encode(json.dumps({**content, "id": other}).encode()).decode()
    assert fields(admin("backup-import", record["backup_service"], url))["id"] == other
    assert project.settled("backup", other)["status"] == "available"
    answer = fields(admin.run("backup-restore", other).output)
    assert project.restored(answer["volume_id"]) == wanted
    admin("backup-reset-state", "--state", "error", backup)
    until(lambda: project.show("backup", backup)["status"] == "error", "the error")
    admin("backup-delete", "--force", backup, other)
    project.gone("backup", backup)
    project.gone("backup", other)


# openstacksdk


@pytest.mark.parametrize("who", ["member", "admin"])
def test_every_call_of_the_sdk(team: Team, tmp_path: Path, who: str) -> None:
    theirs = team.people["stranger"]
    other = Project(team.project.service, theirs.project_id, team.keystone.token(theirs))
    other.backup(other.volume("theirs"), "elsewhere")
    connect = {"auth": team.signed_in(who), "region_name": team.keystone.region}
    user = team.people[who].user_id
    run_the_script(team.project, tmp_path, connect, user=user, admin=who == "admin")
