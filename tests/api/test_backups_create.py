"""Creating backups: POST /backups."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
MEMBER = {"roles": "member,reader"}


def fault(answer):
    (kind, inside), *_ = answer.json.items()
    return answer.status_code, kind, inside["message"]


@pytest.fixture
def volume(rows):
    rows.service()
    return rows.volume(size=2)


def test_a_backup_is_accepted_and_named(api, volume):
    answer = api.post("/v3/backups", {"backup": {"volume_id": volume, "name": "  nightly "}})
    assert answer.status_code == 202
    backup_id = answer.json["backup"]["id"]
    assert answer.json == {
        "backup": {
            "id": backup_id,
            "name": "nightly",
            "links": [
                {"rel": "self", "href": f"http://localhost:8776/v3/backups/{backup_id}"},
                {"rel": "bookmark", "href": f"http://localhost:8776/backups/{backup_id}"},
            ],
        }
    }


def test_links_carry_the_project_that_the_path_carried(api, volume):
    answer = api.post(f"/v3/{PROJECT}/backups", {"backup": {"volume_id": volume}})
    links = answer.json["backup"]["links"]
    backup_id = answer.json["backup"]["id"]
    assert [link["href"] for link in links] == [
        f"http://localhost:8776/v3/{PROJECT}/backups/{backup_id}",
        f"http://localhost:8776/{PROJECT}/backups/{backup_id}",
    ]


def test_a_new_backup_shows_what_was_asked_for(api, volume):
    wanted = {
        "volume_id": volume,
        "name": None,
        "description": " a description ",
        "container": "../a label",
        "metadata": {"k": "v"},
        "availability_zone": "az1",
        "force": "yes",
    }
    backup_id = api.post("/v3/backups", {"backup": wanted}).json["backup"]["id"]
    shown = api.get(f"/v3/backups/{backup_id}").json["backup"]
    assert shown["data_timestamp"] == shown["created_at"]
    expected = {
        "status": "creating",
        "size": 2,
        "object_count": 0,
        "name": None,
        "description": "a description",
        "container": "../a label",
        "metadata": {"k": "v"},
        "availability_zone": "az1",
        "volume_id": volume,
        "snapshot_id": None,
        "is_incremental": False,
        "has_dependent_backups": False,
        "fail_reason": None,
    }
    assert {key: shown[key] for key in expected} == expected
    assert api.get(f"/v3/volumes/{volume}").json["volume"]["status"] == "backing-up"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "None is not of type 'object'"),
        (
            {"backup": {}},
            "Invalid input for field/attribute backup. Value: {}. "
            "'volume_id' is a required property",
        ),
    ],
)
def test_a_body_of_another_form_is_refused(api, body, words):
    assert fault(api.post("/v3/backups", body)) == (400, "badRequest", words)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 404),
        ("application/json; charset=utf-8", 404),
        ("application/vnd.openstack.volume+json", 404),
        ("APPLICATION/JSON", 415),
        ("text/plain", 415),
        ("multipart/form-data", 415),
        ("", 400),
    ],
)
def test_a_body_says_that_it_is_json(api, content_type, status):
    raw = b'{"backup": {"volume_id": "%s"}}' % AN_ID.encode()
    answer = api.post("/v3/backups", raw=raw, headers={"Content-Type": content_type})
    assert answer.status_code == status
    if status == 415:
        assert fault(answer) == (415, "badMediaType", "Unsupported Content-Type")


def test_a_volume_that_the_caller_may_not_see_is_not_found(api, rows):
    foreign = rows.volume(project_id="another")
    for volume_id in (foreign, AN_ID):
        answer = api.post("/v3/backups", {"backup": {"volume_id": volume_id}}, **MEMBER)
        assert fault(answer) == (404, "itemNotFound", f"Volume {volume_id} could not be found.")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("reader", (403, "forbidden", "Policy doesn't allow backup:create to be performed.")),
        ("someone", (404, "itemNotFound", "Volume {volume} could not be found.")),
    ],
)
def test_a_caller_without_the_role_is_refused(api, volume, roles, expected):
    answer = api.post("/v3/backups", {"backup": {"volume_id": volume}}, roles=roles)
    status, kind, words = expected
    assert fault(answer) == (status, kind, words.format(volume=volume))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            "creating",
            {"force": True},
            "Invalid volume: Volume to be backed up must be available or in-use, but the "
            'current status is "creating".',
        ),
        (
            "in-use",
            {},
            "Invalid volume: Backing up an in-use volume must use the force flag.",
        ),
        (
            "available",
            {"incremental": True},
            "Invalid backup: No backups available to do an incremental backup.",
        ),
    ],
)
def test_what_the_volume_does_not_allow(api, rows, status, body, words):
    wanted = {"volume_id": rows.volume(status=status)} | body
    assert fault(api.post("/v3/backups", {"backup": wanted})) == (400, "badRequest", words)


def test_an_incremental_names_its_parent_as_being_there(api, rows, volume):
    rows.backup(volume_id=volume)
    wanted = {"volume_id": volume, "incremental": True}
    backup_id = api.post("/v3/backups", {"backup": wanted}).json["backup"]["id"]
    assert api.get(f"/v3/backups/{backup_id}").json["backup"]["is_incremental"] is True


def test_over_quota_the_client_is_told_when_to_come_back(api, rows, volume):
    for _ in range(10):
        rows.backup()
    answer = api.post("/v3/backups", {"backup": {"volume_id": volume}})
    assert answer.status_code == 413
    assert answer.headers["retry-after"] == "0"
    assert answer.json == {
        "overLimit": {
            "code": 413,
            "message": "BackupLimitExceeded: Maximum number of backups allowed (10) exceeded",
            "retryAfter": "0",
        }
    }
