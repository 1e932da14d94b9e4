"""What is done to a backup that is there: update, delete, restore, actions, export and import."""

import base64
import json

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
MEMBER = {"roles": "member,reader"}
GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)


def fault(answer):
    ((kind, inside),) = answer.json.items()
    return answer.status_code, kind, inside["message"]


def status(api, backup_id):
    return api.get(f"/v3/backups/{backup_id}").json["backup"]["status"]


@pytest.fixture
def backup(rows):
    rows.service()
    return rows.backup(display_name="old", display_description="old", metadata={"a": "1", "b": "2"})


# PUT /backups/{id}


def test_an_update_answers_200_with_the_summary(api, backup):
    answer = api.put(f"/v3/backups/{backup}", {"backup": {"name": " new "}}, version="3.9")
    assert answer.status_code == 200
    assert list(answer.json["backup"]) == ["id", "name", "links"]
    assert answer.json["backup"]["name"] == "new"


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({}, {}),
        ({"name": None}, {"name": None}),
        ({"name": "  "}, {"name": ""}),
        ({"description": " x\n"}, {"description": "x"}),
        ({"metadata": {"c": "3"}}, {"metadata": {"c": "3"}}),
        ({"metadata": {}}, {"metadata": {}}),
    ],
)
def test_an_update_changes_what_it_names(api, backup, wanted, changed):
    before = api.get(f"/v3/backups/{backup}").json["backup"]
    assert api.put(f"/v3/backups/{backup}", {"backup": wanted}).status_code == 200
    after = api.get(f"/v3/backups/{backup}").json["backup"]
    assert after | {"updated_at": None} == before | changed | {"updated_at": None}


def test_below_3_9_there_is_no_update_whatever_the_body_says(api, backup):
    answer = api.put(f"/v3/backups/{backup}", {"nonsense": 1}, version="3.8")
    assert fault(answer) == (404, "itemNotFound", "The resource could not be found.")


# DELETE /backups/{id}


def test_a_deletion_is_accepted_with_an_empty_reply(api, backup):
    answer = api.delete(f"/v3/backups/{backup}", **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert status(api, backup) == "deleting"


def test_a_body_on_a_deletion_is_ignored(api, backup):
    answer = api.delete(
        f"/v3/backups/{backup}", raw=b"\xff", headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 202


@pytest.mark.parametrize("wrong", ["creating", "restoring", "deleting", "error_deleting"])
def test_only_an_idle_backup_can_be_deleted(api, rows, wrong):
    answer = api.delete(f"/v3/backups/{rows.backup(status=wrong)}")
    assert fault(answer) == (
        400, "badRequest", "Invalid backup: Backup status must be available or error"
    )  # fmt: skip


# POST /backups/{id}/action


def test_a_reset_is_accepted(api, backup):
    body = {"os-reset_status": {"status": "ERROR"}}
    answer = api.post(f"/v3/backups/{backup}/action", body)
    assert (answer.status_code, answer.content) == (202, b"")


def test_a_forced_deletion_takes_any_status(api, rows):
    rows.service()
    backup_id = rows.backup(status="error_deleting")
    answer = api.post(f"/v3/backups/{backup_id}/action", {"os-force_delete": None})
    assert (answer.status_code, answer.content) == (202, b"")
    assert status(api, backup_id) == "deleting"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{}", "Malformed request body"),
        (b"[]", "Malformed request body"),
        (b'"os-force_delete"', "Malformed request body"),
        (b"null", "Malformed request body"),
        (b"7", "Malformed request body"),
        (b"{", "Malformed request body"),
        (b'{"os-force_delete": 1, "os-reset_status": 2}', "Malformed request body"),
        (
            b'{"os-sing": null}',
            "There is no such action: os-sing. Verify the request body and Content-Type header "
            "and try again.",
        ),
        (
            b"",
            "There is no such action: None. Verify the request body and Content-Type header "
            "and try again.",
        ),
    ],
)
def test_an_action_is_the_one_key_of_its_body(api, backup, raw, words):
    answer = api.post(f"/v3/backups/{backup}/action", raw=raw)
    assert fault(answer) == (400, "badRequest", words)


# POST /backups/{id}/restore


def test_a_restore_names_its_volume(api, rows, backup):
    volume = rows.volume(name="target")
    body = {"restore": {"volume_id": volume, "name": "ignored"}}
    answer = api.post(f"/v3/backups/{backup}/restore", body, **MEMBER)
    assert answer.status_code == 202
    assert answer.json == {
        "restore": {"backup_id": backup, "volume_id": volume, "volume_name": "target"}
    }
    assert status(api, backup) == "restoring"
    assert api.get(f"/v3/volumes/{volume}").json["volume"]["status"] == "restoring-backup"


@pytest.mark.parametrize(
    ("wanted", "name"), [({}, f"restore_backup_{AN_ID}"), ({"name": "mine"}, "mine")]
)
def test_without_a_volume_a_restore_makes_one(api, rows, wanted, name):
    rows.service()
    rows.service(binary="cinder-volume", repository=None)
    rows.backup(id=AN_ID)
    answer = api.post(f"/v3/backups/{AN_ID}/restore", {"restore": wanted})
    assert answer.status_code == 202, answer.text
    assert answer.json["restore"]["volume_name"] == name


@pytest.mark.parametrize(
    ("volume", "backup_status", "code", "words"),
    [
        ({}, "error", 400, "Invalid backup: Backup status must be available"),
        (
            {"status": "error"},
            "available",
            400,
            "Invalid volume: Volume to be restored to must be available",
        ),
        (
            {"size": 1},
            "available",
            400,
            "Invalid volume: volume size 1 is too small to restore backup of size 2.",
        ),
    ],
)
def test_what_a_restore_needs(api, rows, volume, backup_status, code, words):
    rows.service()
    backup_id = rows.backup(size=2, status=backup_status)
    body = {"restore": {"volume_id": rows.volume(**({"size": 2} | volume))}}
    answer = api.post(f"/v3/backups/{backup_id}/restore", body)
    assert fault(answer) == (code, "badRequest", words)


# who may


@pytest.mark.parametrize(
    ("method", "path", "body", "roles", "rule"),
    [
        ("PUT", "", {"backup": {}}, "reader", "backup:update"),
        ("DELETE", "", None, "reader", "backup:delete"),
        ("POST", "/restore", {"restore": {}}, "reader", "backup:restore"),
        ("GET", "/export_record", None, "member,reader", "backup:export-import"),
        (
            "POST",
            "/action",
            {"os-reset_status": {"status": "error"}},
            "member,reader",
            "volume_extension:backup_admin_actions:reset_status",
        ),
        (
            "POST",
            "/action",
            {"os-force_delete": None},
            "member,reader",
            "volume_extension:backup_admin_actions:force_delete",
        ),
        ("DELETE", "", None, "member", "backup:get"),
    ],
)
def test_what_a_role_does_not_allow_is_forbidden(api, backup, method, path, body, roles, rule):
    answer = api.request(method, f"/v3/backups/{backup}{path}", body, roles=roles)
    assert fault(answer) == (403, "forbidden", f"Policy doesn't allow {rule} to be performed.")


def test_a_role_does_not_matter_where_there_is_no_backup(api, rows):
    foreign = rows.backup(project_id="another")
    answer = api.delete(f"/v3/backups/{foreign}", **MEMBER)
    assert fault(answer) == (404, "itemNotFound", f"Backup {foreign} could not be found.")


def test_the_schema_is_checked_before_the_backup_is_looked_up(api):
    assert api.put(f"/v3/backups/{AN_ID}", {"backup": {"x": 1}}).status_code == 400
    assert api.put(f"/v3/backups/{AN_ID}", {"backup": {}}).status_code == 404


# export and import


def encoded(record):
    return base64.b64encode(json.dumps(record).encode()).decode()


def an_import(url, service="cinder.backup.drivers.emberkeep.EmberkeepBackupDriver"):
    return {"backup-record": {"backup_service": service, "backup_url": url}}


def test_an_export_is_a_pair_that_can_be_imported(api, backup):
    record = api.get(f"/v3/backups/{backup}/export_record").json["backup-record"]
    assert list(record) == ["backup_service", "backup_url"]
    assert record["backup_service"].startswith("cinder.backup.drivers")
    inside = json.loads(base64.b64decode(record["backup_url"], validate=True))
    assert inside["id"] == backup
    copy = encoded(inside | {"id": AN_ID})
    answer = api.post("/v3/backups/import_record", an_import(copy))
    assert answer.status_code == 201
    assert (answer.json["backup"]["id"], answer.json["backup"]["name"]) == (AN_ID, None)
    assert status(api, AN_ID) == "creating"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("bm90IGpzb24=", "Invalid input received: Can't parse backup record."),
        (
            encoded({"size": 1}),
            "Invalid input received: Provided backup record is missing an id",
        ),
        (
            encoded({"id": AN_ID}),
            "Invalid input received: Provided backup record is missing size attribute",
        ),
        (
            "é" + encoded({"id": AN_ID, "size": 1}),
            "Error decoding your request. Either the URL or the request body contained "
            "characters that could not be decoded by Cinder.",
        ),
        (
            encoded(["id"]),
            "Invalid input received: Provided backup record is missing size attribute",
        ),
        (
            encoded("identity"),
            "Invalid input received: Provided backup record is missing size attribute",
        ),
        (encoded([]), "Invalid input received: Provided backup record is missing an id"),
        (encoded("x"), "Invalid input received: Provided backup record is missing an id"),
        (encoded(["id", "size"]), GENERIC),
        (encoded(None), GENERIC),
        (encoded(True), GENERIC),
        (encoded(7), GENERIC),
        (encoded({"id": AN_ID, "size": None}), GENERIC),
        (encoded({"id": AN_ID, "size": "1"}), GENERIC),
        (encoded({"id": AN_ID.upper(), "size": 1}), None),
        (encoded({"id": None, "size": 1}), None),
        (encoded({"id": "no uuid", "size": 1}), None),
        (encoded({"id": AN_ID, "size": -1}), None),
        (encoded({"id": AN_ID, "size": 1.5}), None),
    ],
)
def test_a_record_that_cannot_be_imported(api, rows, url, words):
    rows.service()
    answer = api.post("/v3/backups/import_record", an_import(url))
    assert answer.status_code == 400, answer.text
    if words is not None:
        assert fault(answer) == (400, "badRequest", words)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (
            2**31 - 1,
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup "
            "gigabytes quota. Requested 2147483647G, quota is 1000G and 0G has been consumed.",
        ),
        (
            2**31,
            "QuotaUsageOverflow: Quota usage would overflow for resources: ['backup_gigabytes']. "
            "The requested operation would exceed the maximum allowed value (2147483647) for "
            "quota tracking.",
        ),
    ],
)
def test_a_record_of_any_size_is_measured_by_the_quota(api, rows, size, words):
    rows.service()
    record = an_import(encoded({"id": AN_ID, "size": size}))
    answer = api.post("/v3/backups/import_record", record)
    assert answer.status_code == 413
    assert answer.json["overLimit"]["message"] == words


def test_an_id_that_is_taken_cannot_be_imported(api, backup):
    answer = api.post("/v3/backups/import_record", an_import(encoded({"id": backup, "size": 1})))
    assert fault(answer) == (
        400, "badRequest", "Invalid backup: Backup already exists in database."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path_id", "code"),
    [(AN_ID, 201), ("ffbb8af0-2cae-43fb-a7f7-c340e35f7360", 400), ("not-an-id", 404)],
)
def test_the_id_may_stand_in_the_path_of_an_import(api, rows, path_id, code):
    rows.service()
    record = an_import(encoded({"id": AN_ID, "size": 1}))
    answer = api.post(f"/v3/backups/{path_id}/import_record", record)
    assert answer.status_code == code, answer.text


def test_without_any_service_nothing_can_be_imported(api):
    body = an_import("bm90IGpzb24=", service="some.driver")
    answer = api.post("/v3/backups/import_record", body)
    assert fault(answer) == (
        503, "serviceUnavailable", "Service some.driver could not be found."
    )  # fmt: skip
