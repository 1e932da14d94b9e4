"""Who may do what with backups: each rule's default, for each set of roles."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
OTHER = "1dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
ADMINS = ("admin", "admin,member,reader")
MEMBERS = ("member,reader",)
READERS = ("reader",)
NOBODIES = ("someone", "")
EVERYBODY = (*ADMINS, *MEMBERS, *READERS, *NOBODIES)
RECORD = {"backup-record": {"backup_service": "x", "backup_url": "bm90IGpzb24="}}


def told(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def denied(rule):
    return 403, f"Policy doesn't allow {rule} to be performed."


@pytest.fixture
def backup(rows):
    rows.service()
    return rows.backup()


@pytest.mark.parametrize("roles", EVERYBODY)
@pytest.mark.parametrize(
    ("method", "path", "body", "rule", "who"),
    [
        ("GET", "", None, "backup:get", (*ADMINS, *MEMBERS, *READERS)),
        ("PUT", "", {"backup": {}}, "backup:update", ADMINS + MEMBERS),
        ("DELETE", "", None, "backup:delete", ADMINS + MEMBERS),
        ("POST", "/restore", {"restore": {}}, "backup:restore", ADMINS + MEMBERS),
        ("GET", "/export_record", None, "backup:export-import", ADMINS),
        (
            "POST",
            "/action",
            {"os-reset_status": {"status": "error"}},
            "volume_extension:backup_admin_actions:reset_status",
            ADMINS,
        ),
        (
            "POST",
            "/action",
            {"os-force_delete": None},
            "volume_extension:backup_admin_actions:force_delete",
            ADMINS,
        ),
    ],
)
def test_a_rule_of_a_backup(api, rows, backup, roles, method, path, body, rule, who):
    rows.service(binary="cinder-volume", repository=None)
    answer = api.request(method, f"/v3/backups/{backup}{path}", body, roles=roles)
    if roles in who:
        assert answer.status_code in (200, 202), answer.text
    else:
        looking_up = roles in NOBODIES
        assert told(answer) == denied("backup:get" if looking_up else rule)


@pytest.mark.parametrize("roles", EVERYBODY)
def test_the_rule_of_lists(api, roles):
    answer = api.get("/v3/backups/detail", roles=roles)
    if roles in NOBODIES:
        assert told(answer) == denied("backup:get_all")
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("roles", EVERYBODY)
def test_the_rule_of_imports_comes_before_the_record_is_read(api, rows, roles):
    rows.service()
    answer = api.post("/v3/backups/import_record", RECORD, roles=roles)
    if roles in ADMINS:
        assert told(answer) == (400, "Invalid input received: Can't parse backup record.")
    else:
        assert told(answer) == denied("backup:backup-import")


@pytest.mark.parametrize("roles", EVERYBODY)
def test_the_rule_of_creation_is_about_the_volume(api, rows, roles):
    rows.service()
    volume = rows.volume()
    answer = api.post("/v3/backups", {"backup": {"volume_id": volume}}, roles=roles)
    if roles in NOBODIES:
        assert told(answer) == (404, f"Volume {volume} could not be found.")
    elif roles in READERS:
        assert told(answer) == denied("backup:create")
    else:
        assert answer.status_code == 202


@pytest.mark.parametrize("roles", [*MEMBERS, *READERS, *NOBODIES])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"backup": {}}),
        ("DELETE", "", None),
        ("POST", "/restore", {"restore": {}}),
        ("GET", "/export_record", None),
        ("POST", "/action", {"os-reset_status": {"status": "error"}}),
        ("POST", "/action", {"os-force_delete": None}),
    ],
)
def test_another_projects_backup_is_not_there(api, rows, roles, method, path, body):
    foreign = rows.backup(project_id=OTHER)
    answer = api.request(method, f"/v3/backups/{foreign}{path}", body, roles=roles)
    assert told(answer) == (404, f"Backup {foreign} could not be found.")


def test_another_projects_volume_and_snapshot_are_not_there(api, rows):
    own, foreign = rows.volume(), rows.volume(project_id=OTHER)
    snapshot = rows.snapshot(foreign, project_id=OTHER)
    for wanted, words in (
        ({"volume_id": foreign}, f"Volume {foreign} could not be found."),
        ({"volume_id": own, "snapshot_id": snapshot}, f"Snapshot {snapshot} could not be found."),
    ):
        answer = api.post("/v3/backups", {"backup": wanted}, roles="member,reader")
        assert told(answer) == (404, words)


@pytest.mark.parametrize("roles", ADMINS)
def test_an_admin_sees_and_changes_what_is_anybodys(api, rows, roles):
    rows.service()
    foreign = rows.backup(project_id=OTHER, user_id="bob")
    answer = api.put(f"/v3/backups/{foreign}", {"backup": {"name": "new"}}, roles=roles)
    assert answer.status_code == 200
    shown = api.get(f"/v3/backups/{foreign}", roles=roles).json["backup"]
    assert shown["name"] == "new"
    assert shown["os-backup-project-attr:project_id"] == OTHER
    assert shown["user_id"] == "bob"


def test_links_name_the_urls_project_whosever_the_backup_is(api, rows):
    foreign = rows.backup(project_id=OTHER)
    own = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
    links = api.get(f"/v3/{own}/backups/{foreign}").json["backup"]["links"]
    assert [link["href"] for link in links] == [
        f"http://localhost:8776/v3/{own}/backups/{foreign}",
        f"http://localhost:8776/{own}/backups/{foreign}",
    ]


def test_an_admins_backup_of_anothers_volume_is_the_admins(api, rows):
    rows.service()
    foreign = rows.volume(project_id=OTHER)
    made = api.post("/v3/backups", {"backup": {"volume_id": foreign}}).json["backup"]["id"]
    shown = api.get(f"/v3/backups/{made}").json["backup"]
    assert shown["os-backup-project-attr:project_id"] == "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
    assert api.get(f"/v3/backups/{made}", roles="member,reader").status_code == 200
