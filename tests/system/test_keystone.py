"""The service behind a real Keystone: who gets in, as whom, and what each may do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.services.conftest import keystone, people  # noqa: F401 (fixtures)
from tests.services.keystone import PROJECTS, ROLES, Keystone, People, Person
from tests.system.service import QUICK, Answer, Service, serving, until

pytestmark = pytest.mark.slow

CONF = """\
[DEFAULT]
auth_strategy = keystone
quota_volumes = 1000
quota_backups = 1000
[keystone_authtoken]
www_authenticate_uri = {keystone.auth_url}
auth_url = {keystone.auth_url}
auth_type = password
username = {service.name}
password = {service.password}
project_name = {service.project}
user_domain_name = Default
project_domain_name = Default
"""
POLICY = """\
# Cinder has this rule, this service has not.
"group:create": "rule:admin_api"
# Readers may rename.
"backup:update": "rule:xena_system_admin_or_project_reader"
"""
NOBODYS_UUID = "5e851e08-3d6f-46cf-8343-71edee572b0a"


@dataclass
class Place:
    """The service, and a token of everybody's."""

    service: Service
    keystone: Keystone
    people: People
    tokens: dict[tuple[str, str], str]

    def person(self, project: str, role: str) -> Person:
        return self.people.by_role[project, role]

    def call(
        self,
        who: tuple[str, str],
        method: str,
        path: str,
        body: object = None,
        *,
        project: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request as somebody, by default below the own project."""
        own = self.person(*who).project_id if project is None else project
        token = {"X-Auth-Token": self.tokens[who]}
        return self.service.call(method, path, body, project=own, headers=token | (headers or {}))

    def with_token(self, token: str, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.service.call("GET", f"/{path}", headers={"X-Auth-Token": token} | named)

    def a_volume(self, project: str, size: int = 1) -> str:
        answer = self.call((project, "member"), "POST", "/volumes", {"volume": {"size": size}})
        assert answer.status == 202, answer
        volume_id = str(answer.body["volume"]["id"])
        self.until("volume", volume_id, project)
        return volume_id

    def a_backup(self, project: str, volume_id: str, name: str | None = None) -> str:
        body = {"backup": {"volume_id": volume_id, "name": name}}
        answer = self.call((project, "member"), "POST", "/backups", body)
        assert answer.status == 202, answer
        backup_id = str(answer.body["backup"]["id"])
        self.until("backup", backup_id, project)
        return backup_id

    def until(self, kind: str, its_id: str, project: str, status: str = "available") -> None:
        def reached() -> bool:
            answer = self.call((project, "reader"), "GET", f"/{kind}s/{its_id}")
            return bool(answer.body[kind]["status"] == status)

        until(reached, f"{kind} {its_id} is {status}")


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    keystone: Keystone,  # noqa: F811
    people: People,  # noqa: F811
) -> Iterator[Place]:
    state = tmp_path_factory.mktemp("service") / "state"
    state.mkdir()
    conf = CONF.format(keystone=keystone, service=people.service)
    (state / "emberkeep.conf").write_text(conf + QUICK)
    with serving(state) as service:
        keystone.offer_block_storage(f"http://127.0.0.1:{service.port}/v3/$(project_id)s")
        tokens = {who: keystone.token(person) for who, person in people.by_role.items()}
        yield Place(service, keystone, people, tokens)


@pytest.fixture(scope="module")
def volumes(place: Place) -> dict[str, str]:
    """A volume of each project."""
    return {project: place.a_volume(project) for project in PROJECTS}


@pytest.fixture(scope="module")
def backups(place: Place, volumes: dict[str, str]) -> dict[str, str]:
    """A backup of each project."""
    return {project: place.a_backup(project, volumes[project]) for project in PROJECTS}


def fault(answer: Answer) -> tuple[int, str]:
    (content,) = answer.body.values()
    return answer.status, content["message"]


def denied(rule: str) -> tuple[int, str]:
    return 403, f"Policy doesn't allow {rule} to be performed."


# Getting in.


def test_discovery_needs_no_token(place: Place) -> None:
    answer = place.service.call("GET", "//", headers={"X-Auth-Token": ""})
    assert answer.status == 300
    assert answer.body["versions"][0]["id"] == "v3.0"


@pytest.mark.parametrize(
    "path", ["/v3", "/v3/", "/v3/backups", "/v3/nothing", "/emberkeep/v1/zones"]
)
@pytest.mark.parametrize(
    "token", ["", "garbage", "admin:admin", "gAAAAABgarbage", "caf\u00e9", "x" * 5000]
)
def test_everything_else_needs_a_token_that_is_one(place: Place, path: str, token: str) -> None:
    answer = place.with_token(token, path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{place.keystone.auth_url}"'
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert "x-compute-request-id" not in answer.headers
    assert answer.body["error"]["code"] == 401


def test_roles_come_from_the_token_and_no_header(place: Place) -> None:
    forged = {
        "X-Roles": "admin",
        "X-User-Id": "root",
        "X-Project-Id": "0" * 32,
        "X-Identity-Status": "Confirmed",
        "X-Is-Admin-Project": "True",
        "OpenStack-System-Scope": "all",
    }
    services = place.call(("demo", "member"), "GET", "/os-services", headers=forged)
    assert fault(services) == denied("volume_extension:services:index")
    alone = place.service.call("GET", "/backups", headers={"X-Auth-Token": "", **forged})
    assert alone.status == 401


def test_a_token_with_every_path_of_discovery(place: Place) -> None:
    token = place.tokens["demo", "reader"]
    assert place.with_token(token, "/v3/").status == 200
    assert place.with_token(token, "/nothing").status == 404
    assert place.with_token(token, "/v3/nothing").status == 404


def test_options_and_a_large_body_are_answered_before_the_token(place: Place) -> None:
    nobody = {"X-Auth-Token": "garbage"}
    assert place.service.call("OPTIONS", "/backups", headers=nobody).status == 200
    large = place.service.call("POST", "/backups", "x" * 120_000, headers=nobody)
    assert large.status == 413
    assert place.service.call("HEAD", "/backups", headers=nobody).status == 401
    known = {"X-Auth-Token": place.tokens["demo", "reader"]}
    assert place.service.call("HEAD", "/backups", headers=known).status == 404


def test_a_revoked_token_is_none(place: Place) -> None:
    token = place.keystone.token(place.person("demo", "reader"))
    place.keystone.revoke(token)
    assert place.with_token(token, "/v3/backups").status == 401


def test_an_expired_token_is_one_only_beside_a_services(place: Place) -> None:
    with place.keystone.with_short_tokens(seconds=1) as hasty:
        token = hasty.token(place.person("demo", "reader"))
    until(lambda: place.with_token(token, "/v3/backups").status == 401, "the token's end")
    service = place.keystone.token(place.people.service)
    assert place.with_token(token, "/v3/backups", X_Service_Token=service).status == 200


def test_a_service_token_must_be_of_a_service(place: Place) -> None:
    token = place.tokens["demo", "member"]
    service = place.keystone.token(place.people.service)
    assert place.with_token(token, "/v3/backups", X_Service_Token=service).status == 200
    another = place.tokens["alt", "admin"]
    assert place.with_token(token, "/v3/backups", X_Service_Token=another).status == 401
    assert place.with_token(token, "/v3/backups", X_Service_Token="garbage").status == 401


def test_an_application_credential_may_do_what_its_rules_say(place: Place) -> None:
    person = place.person("demo", "member")
    rule = {"path": "/v3/*/backups", "method": "GET", "service": "block-storage"}
    token = place.keystone.restricted_token(person, [rule])
    project = person.project_id
    assert place.with_token(token, f"/v3/{project}/backups").status == 200
    assert place.with_token(token, f"/v3/{project}/volumes").status == 401
    made = place.service.call(
        "POST",
        "/volumes",
        {"volume": {"size": 1}},
        project=project,
        headers={"X-Auth-Token": token},
    )
    assert made.status == 401


@pytest.mark.parametrize("role", ROLES)
def test_the_project_in_the_path_must_be_the_tokens(place: Place, role: str) -> None:
    others = place.person("alt", "member").project_id
    answer = place.call(("demo", role), "GET", "/backups", project=others)
    assert fault(answer) == (400, "Malformed request url")


# Tokens without a project.


@pytest.fixture(scope="module")
def projectless(place: Place) -> dict[str, str]:
    """A token without any scope, and an admin's of the domain and of the system."""
    there = place.keystone
    nobody = there.add_user("nobody", "nobody-password")
    boss = there.add_user("boss", "boss-password")
    there.grant(boss.user_id, "admin", "/domains/default")
    there.grant(boss.user_id, "admin", "/system")
    there.grant(nobody.user_id, "reader", "/domains/default")
    return {
        "unscoped": there.token(nobody, unscoped=True),
        "reader of a domain": there.token(nobody, domain_name="Default"),
        "admin of a domain": there.token(boss, domain_name="Default"),
        "admin of the system": there.token(boss, system_scope="all"),
    }


@pytest.mark.parametrize(
    ("whose", "listed"),
    [
        ("unscoped", 403),
        ("reader of a domain", 403),
        ("admin of a domain", 200),
        ("admin of the system", 200),
    ],
)
def test_a_token_without_a_project_owns_nothing(
    place: Place, backups: dict[str, str], projectless: dict[str, str], whose: str, listed: int
) -> None:
    token = projectless[whose]
    answer = place.with_token(token, "/v3/backups")
    assert answer.status == listed
    if listed == 200:
        assert answer.body["backups"] == []
        everything = place.with_token(token, "/v3/backups?all_tenants=1").body["backups"]
        assert set(backups.values()) <= {backup["id"] for backup in everything}
    assert place.with_token(token, "/v3/os-availability-zone").status == 200
    project = place.person("demo", "member").project_id
    assert place.with_token(token, f"/v3/{project}/backups").status == 400
    headers = {"X-Auth-Token": token}
    for path, root in (("volumes", {"volume": {"size": 1}}), ("backups", {"backup": {}})):
        made = place.service.call("POST", f"//v3/{path}", root, headers=headers)
        assert made.status in (400, 403), (path, made)


# What the roles may do.

WHO_READS = {"reader", "member", "admin"}
WHO_WRITES = {"member", "admin"}
ADMINS = {"admin"}
MATRIX: list[tuple[str, str, str, Any, set[str], int]] = [
    ("backup:get_all", "GET", "/backups", None, WHO_READS, 200),
    ("backup:get_all", "GET", "/backups/detail", None, WHO_READS, 200),
    ("backup:get", "GET", "/backups/{backup}", None, WHO_READS, 200),
    ("backup:update", "PUT", "/backups/{backup}", {"backup": {"name": "n"}}, WHO_WRITES, 200),
    ("backup:export-import", "GET", "/backups/{backup}/export_record", None, ADMINS, 200),
    (
        "backup:backup-import",
        "POST",
        "/backups/import_record",
        {"backup-record": {"backup_service": "x", "backup_url": "bm8gSlNPTg=="}},
        ADMINS,
        400,  # the record is none, which an admin is told
    ),
    (
        "volume_extension:backup_admin_actions:reset_status",
        "POST",
        "/backups/{backup}/action",
        {"os-reset_status": {"status": "available"}},
        ADMINS,
        202,
    ),
    ("volume:get_all", "GET", "/volumes/detail", None, WHO_READS, 200),
    ("volume:get", "GET", "/volumes/{volume}", None, WHO_READS, 200),
    ("volume:create", "POST", "/volumes", {"volume": {"size": 1}}, WHO_WRITES, 202),
    ("volume:get_all_snapshots", "GET", "/snapshots", None, WHO_READS, 200),
    ("volume_extension:services:index", "GET", "/os-services", None, ADMINS, 200),
]


@pytest.mark.parametrize(("rule", "method", "path", "body", "allowed", "status"), MATRIX)
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_its_rule_says(
    place: Place,
    volumes: dict[str, str],
    backups: dict[str, str],
    project: str,
    role: str,
    rule: str,
    method: str,
    path: str,
    body: Any,
    allowed: set[str],
    status: int,
) -> None:
    path = path.format(backup=backups[project], volume=volumes[project])
    answer = place.call((project, role), method, path, body)
    if role in allowed:
        assert answer.status == status, answer
    else:
        assert fault(answer) == denied(rule)


@pytest.mark.parametrize("project", PROJECTS)
def test_members_make_and_remove_and_readers_do_not(
    place: Place, volumes: dict[str, str], project: str
) -> None:
    body = {"backup": {"volume_id": volumes[project], "name": "mine"}}
    reader = (project, "reader")
    assert fault(place.call(reader, "POST", "/backups", body)) == denied("backup:create")
    backup = place.a_backup(project, volumes[project], "mine")
    path = f"/backups/{backup}"
    restore = {"restore": {"name": "restored"}}
    assert fault(place.call(reader, "POST", f"{path}/restore", restore)) == denied("backup:restore")
    assert fault(place.call(reader, "DELETE", path)) == denied("backup:delete")
    restoring = place.call((project, "member"), "POST", f"{path}/restore", restore)
    assert restoring.status == 202
    place.until("volume", restoring.body["restore"]["volume_id"], project)
    place.until("backup", backup, project)
    forced = {"os-force_delete": None}
    force_rule = "volume_extension:backup_admin_actions:force_delete"
    member = (project, "member")
    assert fault(place.call(member, "POST", f"{path}/action", forced)) == denied(force_rule)
    assert place.call(member, "DELETE", path).status == 202
    until(lambda: place.call(member, "GET", path).status == 404, "the end of the backup")


@pytest.mark.parametrize(("own", "other"), [PROJECTS, PROJECTS[::-1]])
@pytest.mark.parametrize("role", ["reader", "member"])
def test_what_is_of_another_project_is_not_there(
    place: Place,
    volumes: dict[str, str],
    backups: dict[str, str],
    own: str,
    other: str,
    role: str,
) -> None:
    who = (own, role)
    backup, volume = backups[other], volumes[other]
    gone = (404, f"Backup {backup} could not be found.")
    assert fault(place.call(who, "GET", f"/backups/{backup}")) == gone
    assert fault(place.call(who, "DELETE", f"/backups/{backup}")) == gone
    body = {"backup": {"name": "stolen"}}
    assert fault(place.call(who, "PUT", f"/backups/{backup}", body)) == gone
    no_volume = (404, f"Volume {volume} could not be found.")
    assert fault(place.call(who, "GET", f"/volumes/{volume}")) == no_volume
    stolen = {"backup": {"volume_id": volume}}
    assert fault(place.call(who, "POST", "/backups", stolen)) == no_volume
    for asked in ("", "?all_tenants=1"):
        listed = place.call(who, "GET", f"/backups{asked}").body["backups"]
        assert backup not in {item["id"] for item in listed}
        assert backups[own] in {item["id"] for item in listed}


def test_an_admin_sees_every_project_and_whose_a_backup_is(
    place: Place, backups: dict[str, str]
) -> None:
    admin = ("demo", "admin")
    shown = place.call(admin, "GET", f"/backups/{backups['alt']}").body["backup"]
    alt = place.person("alt", "member")
    assert shown["os-backup-project-attr:project_id"] == alt.project_id
    assert shown["user_id"] == alt.user_id
    listed = place.call(admin, "GET", "/backups?all_tenants=1").body["backups"]
    assert set(backups.values()) <= {item["id"] for item in listed}
    member = place.call(("alt", "member"), "GET", f"/backups/{backups['alt']}").body["backup"]
    assert "os-backup-project-attr:project_id" not in member


def test_a_policy_file_changes_an_answer_while_the_service_runs(
    place: Place, backups: dict[str, str]
) -> None:
    reader = ("demo", "reader")
    path, body = f"/backups/{backups['demo']}", {"backup": {"name": "renamed"}}
    assert fault(place.call(reader, "PUT", path, body)) == denied("backup:update")
    policy = place.service.state / "policy.yaml"
    policy.write_text(POLICY)
    assert place.call(reader, "PUT", path, body).status == 200
    foreign = place.call(reader, "PUT", f"/backups/{backups['alt']}", body)
    assert foreign.status == 404
    policy.write_text('"backup:update": "rule:')  # is no YAML: the last rules stay
    assert place.call(reader, "PUT", path, body).status == 200
    assert "stay in force" in place.service.log()
    policy.write_text("# as by default\n")
    assert fault(place.call(reader, "PUT", path, body)) == denied("backup:update")


# What is logged.


def test_no_password_and_no_token_reaches_the_log(place: Place) -> None:
    log = place.service.log()
    secrets = [person.password for person in place.people.by_role.values()]
    secrets += [place.people.service.password, *place.tokens.values(), "gAAAAABgarbage"]
    assert log
    assert not [secret for secret in secrets if secret in log]
    assert not (place.service.state / "clouds.yaml").exists()
