"""What is refused about backups, row by row: status, fault, words, and in which
order of two that are due the one is told."""

import base64
import json

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
OTHER = "1dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
NO_SERVICE = (404, "itemNotFound", "Service cinder-backup could not be found.")
KINDS = {400: "badRequest", 404: "itemNotFound", 413: "overLimit", 503: "serviceUnavailable"}


def told(answer):
    ((kind, inside),) = answer.json.items()
    assert kind == KINDS[answer.status_code]
    return answer.status_code, inside["message"]


def over(answer):
    assert answer.headers["retry-after"] == "0"
    assert answer.json["overLimit"]["retryAfter"] == "0"
    return told(answer)


# POST /backups (5.1)


def invalid_volume(status):
    return (
        "Invalid volume: Volume to be backed up must be available or in-use, but the current "
        f'status is "{status}".'
    )


@pytest.mark.parametrize(
    ("volume", "snapshot", "wanted", "code", "words"),
    [
        ({"status": "error"}, None, {"incremental": True}, 400, invalid_volume("error")),
        ({"status": "backing-up"}, None, {"force": True}, 400, invalid_volume("backing-up")),
        (
            {"status": "error_extending"},
            None,
            {"force": "yes"},
            400,
            invalid_volume("error_extending"),
        ),
        (
            {"status": "in-use"},
            None,
            {"force": "no", "incremental": True},
            400,
            "Invalid volume: Backing up an in-use volume must use the force flag.",
        ),
        ({}, None, {"snapshot_id": AN_ID}, 404, f"Snapshot {AN_ID} could not be found."),
        (
            {"status": "error"},
            None,
            {"snapshot_id": AN_ID},
            404,
            f"Snapshot {AN_ID} could not be found.",
        ),
        (
            {},
            {"volume_id": AN_ID, "status": "error"},
            {},
            400,
            f"Invalid volume: Volume {{volume}} does not match with snapshot.volume_id {AN_ID}.",
        ),
        (
            {},
            {"status": "backing-up"},
            {"force": True, "incremental": True},
            400,
            "Invalid snapshot: Snapshot to be backed up must be available, but the current status "
            'is "backing-up".',
        ),
        (
            {},
            None,
            {"incremental": True},
            400,
            "Invalid backup: No backups available to do an incremental backup.",
        ),
    ],
)
def test_what_a_creation_needs(api, rows, volume, snapshot, wanted, code, words):
    rows.service()
    volume_id = rows.volume(**volume)
    if snapshot is not None:
        on = snapshot.get("volume_id", volume_id)
        if on == AN_ID:
            rows.volume(id=AN_ID)
        wanted = wanted | {"snapshot_id": rows.snapshot(**({"volume_id": on} | snapshot))}
    answer = api.post("/v3/backups", {"backup": {"volume_id": volume_id} | wanted})
    assert told(answer) == (code, words.format(volume=volume_id))
    assert api.get("/v3/backups").json == {"backups": []}


@pytest.mark.parametrize("status", ["error", "in-use", "maintenance"])
def test_with_a_snapshot_the_volumes_status_does_not_matter(api, rows, status):
    rows.service()
    volume = rows.volume(status=status)
    wanted = {"volume_id": volume, "snapshot_id": rows.snapshot(volume)}
    assert api.post("/v3/backups", {"backup": wanted}).status_code == 202


@pytest.mark.parametrize("zone", ["nowhere", "az2", None])
def test_no_service_and_no_zone_is_a_matter_of_later(api, rows, zone):
    wanted = {"volume_id": rows.volume(), "availability_zone": zone}
    answer = api.post("/v3/backups", {"backup": wanted})
    assert answer.status_code == 202
    shown = api.get(f"/v3/backups/{answer.json['backup']['id']}").json["backup"]
    assert (shown["status"], shown["availability_zone"]) == ("error", zone)
    assert shown["fail_reason"] == "Service not found for creating backup."


GIGABYTES = (
    "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes "
    "quota. Requested {}G, quota is 1000G and {}G has been consumed."
)
COUNT = "BackupLimitExceeded: Maximum number of backups allowed (10) exceeded"


@pytest.mark.parametrize(
    ("have", "size", "wanted", "words"),
    [
        ([1] * 10, 1, {}, COUNT),
        ([1] * 10, 1, {"incremental": True}, COUNT),
        ([100] * 9, 101, {}, GIGABYTES.format(101, 900)),
        ([100] * 10, 1, {}, GIGABYTES.format(1, 1000)),  # both: the gigabytes are told
    ],
)
def test_a_creation_over_quota(api, rows, have, size, wanted, words):
    rows.service()
    for gigabytes in have:
        rows.backup(size=gigabytes, status="error")
    volume = rows.volume(size=size)
    body = {"backup": {"volume_id": volume} | wanted}
    assert over(api.post("/v3/backups", body)) == (413, words)
    assert api.get(f"/v3/volumes/{volume}").json["volume"]["status"] == "available"


def test_what_is_anothers_or_deleted_does_not_count(api, rows):
    rows.service()
    for _ in range(10):
        rows.backup(project_id=OTHER)
        rows.backup(deleted=True)
    body = {"backup": {"volume_id": rows.volume()}}
    assert api.post("/v3/backups", body).status_code == 202


# DELETE, os-force_delete, os-reset_status, export: a service in the backup's zone (7)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("POST", "/action", {"os-force_delete": {}}),
        ("POST", "/action", {"os-reset_status": {"status": "error"}}),
        ("GET", "/export_record", None),
    ],
)
@pytest.mark.parametrize("service", [None, {"availability_zone": "az2"}, {"disabled": True}])
def test_without_a_service_in_its_zone_nothing_can_be_done(api, rows, method, path, body, service):
    if service is not None:
        rows.service(**service)
    backup = rows.backup(availability_zone="az1")
    answer = api.request(method, f"/v3/backups/{backup}{path}", body)
    assert told(answer) == NO_SERVICE[::2]
    assert api.get(f"/v3/backups/{backup}").json["backup"]["status"] == "available"


@pytest.mark.parametrize("wrong", ["creating", "deleting", "restoring", "error_deleting"])
@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("DELETE", "", None, "Invalid backup: Backup status must be available or error"),
        ("POST", "/restore", {"restore": {}}, "Invalid backup: Backup status must be available"),
        (
            "GET",
            "/export_record",
            None,
            "Invalid backup: Backup status must be available and not {}.",
        ),
    ],
)
def test_the_status_is_looked_at_before_the_service(api, rows, method, path, body, words, wrong):
    backup = rows.backup(status=wrong)
    answer = api.request(method, f"/v3/backups/{backup}{path}", body)
    assert told(answer) == (400, words.format(wrong))


def test_a_backup_in_error_is_neither_restored_nor_exported(api, rows):
    backup = rows.backup(status="error")
    restored = api.post(f"/v3/backups/{backup}/restore", {"restore": {}})
    assert told(restored) == (400, "Invalid backup: Backup status must be available")
    exported = api.get(f"/v3/backups/{backup}/export_record")
    assert told(exported) == (
        400,
        "Invalid backup: Backup status must be available and not error.",
    )


@pytest.mark.parametrize("forced", [False, True])
def test_what_no_worker_ever_had_can_be_deleted_without_one(api, rows, forced):
    backup = rows.backup(status="error", service=None, availability_zone="nowhere")
    path = f"/v3/backups/{backup}"
    answer = api.post(f"{path}/action", {"os-force_delete": None}) if forced else api.delete(path)
    assert (answer.status_code, answer.content) == (202, b"")
    assert told(api.get(path)) == (404, f"Backup {backup} could not be found.")


# POST /backups/{id}/restore (5.6)


@pytest.mark.parametrize(
    ("backup", "volume", "code", "words"),
    [
        ({"size": 0}, {}, 400, "Invalid backup: Backup to be restored has invalid size"),
        (
            {},
            {"status": "in-use"},
            400,
            "Invalid volume: Volume to be restored to must be available",
        ),
        (
            {"size": 3},
            {"status": "error", "size": 2},
            400,
            "Invalid volume: Volume to be restored to must be available",
        ),
        (
            {"size": 3, "availability_zone": "nowhere"},
            {"size": 2},
            400,
            "Invalid volume: volume size 2 is too small to restore backup of size 3.",
        ),
        (
            {"availability_zone": "nowhere"},
            {},
            404,
            "Service cinder-backup could not be found.",
        ),
    ],
)
def test_what_a_restore_to_a_volume_needs(api, rows, backup, volume, code, words):
    rows.service()
    backup_id, volume_id = rows.backup(**backup), rows.volume(**volume)
    body = {"restore": {"volume_id": volume_id}}
    assert told(api.post(f"/v3/backups/{backup_id}/restore", body)) == (code, words)
    status = api.get(f"/v3/volumes/{volume_id}").json["volume"]["status"]
    assert status == volume.get("status", "available")


def test_a_volume_to_restore_to_is_looked_up(api, rows):
    rows.service()
    foreign = rows.volume(project_id=OTHER)
    for volume in (foreign, AN_ID, AN_ID.replace("-", "")):
        body = {"restore": {"volume_id": volume}}
        answer = api.post(f"/v3/backups/{rows.backup()}/restore", body, roles="member,reader")
        assert told(answer) == (404, f"Volume {volume} could not be found.")


# POST /backups/import_record (5.8)


def an_import(content, service="x"):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    url = base64.b64encode(raw).decode()
    return {"backup-record": {"backup_service": service, "backup_url": url}}


def test_an_import_looks_for_a_service_before_the_record(api, rows):
    rows.service(disabled=True)
    answer = api.post("/v3/backups/import_record", an_import(b"{", service="a.driver"))
    assert told(answer) == (503, "Service a.driver could not be found.")


@pytest.mark.parametrize(
    "path", ["/v3/backups/import_record", f"/v3/backups/{AN_ID}/import_record"]
)
def test_both_paths_of_an_import_check_in_the_same_order(api, rows, path):
    bad = an_import(b"{", service="a.driver")
    assert told(api.post(path, bad)) == (503, "Service a.driver could not be found.")
    rows.service()
    assert told(api.post(path, bad)) == (
        400,
        "Invalid input received: Can't parse backup record.",
    )
    other = "ffbb8af0-2cae-43fb-a7f7-c340e35f7360"
    answer = api.post(path, an_import({"id": other, "size": 1}))
    if AN_ID in path:
        assert told(answer) == (400, "Request body and URI mismatch")
    else:
        assert answer.status_code == 201
    denied = api.post(path, bad, roles="member,reader")
    assert denied.json["forbidden"]["message"] == (
        "Policy doesn't allow backup:backup-import to be performed."
    )


@pytest.mark.parametrize(
    ("method", "path_id"), [("GET", AN_ID), ("PUT", AN_ID), ("POST", "x"), ("POST", AN_ID[:-1])]
)
def test_an_import_of_another_form_is_an_unknown_route(api, method, path_id):
    headers = {"Accept": "application/json"}
    answer = api.request(method, f"/v3/backups/{path_id}/import_record", headers=headers)
    assert (answer.status_code, answer.json["title"]) == (404, "Not Found")


def test_an_import_looks_for_the_row_before_the_quota(api, rows):
    rows.service()
    taken = [rows.backup(project_id=OTHER), *(rows.backup() for _ in range(10))]
    for backup in taken[:2]:
        answer = api.post("/v3/backups/import_record", an_import({"id": backup, "size": 1}))
        assert told(answer) == (400, "Invalid backup: Backup already exists in database.")
    answer = api.post("/v3/backups/import_record", an_import({"id": AN_ID, "size": 1}))
    assert over(answer) == (413, COUNT)


def test_an_import_starts_as_a_row_without_a_volume(api, rows):
    rows.service()
    answer = api.post("/v3/backups/import_record", an_import({"id": AN_ID, "size": 1}))
    assert answer.status_code == 201
    assert list(answer.json["backup"]) == ["id", "name", "links"]
    shown = api.get(f"/v3/backups/{AN_ID}").json["backup"]
    assert shown["status"] == "creating"
    assert shown["volume_id"] == "00000000-0000-0000-0000-000000000000"
    assert (shown["name"], shown["user_id"], shown["metadata"]) == (None, "ada", {})


def test_a_deleted_row_is_revived_with_its_old_name(api, rows):
    rows.service()
    rows.backup(id=AN_ID, deleted=True, display_name="old", project_id=OTHER, metadata={"a": "b"})
    answer = api.post("/v3/backups/import_record", an_import({"id": AN_ID, "size": 1}))
    assert (answer.status_code, answer.json["backup"]["name"]) == (201, "old")
    shown = api.get(f"/v3/backups/{AN_ID}", roles="member,reader").json["backup"]
    assert (shown["status"], shown["metadata"]) == ("creating", {})
    assert shown["volume_id"] == "00000000-0000-0000-0000-000000000000"


# POST /volumes with a backup_id (11)


@pytest.mark.parametrize(
    ("backup", "wanted", "code", "words"),
    [
        (None, {"source_volid": "{volume}"}, 404, f"Backup {AN_ID} could not be found."),
        (
            {"status": "error", "size": 2},
            {"source_volid": "{volume}", "size": 1},
            400,
            "Invalid input received: May specify only one of backup, imageRef, snapshot, source "
            "volume",
        ),
        (
            {"status": "error", "size": 2},
            {"size": 1},
            400,
            "Invalid backup: Originating backup status must be one of 'available' values",
        ),
        (
            {"size": 3},
            {"size": 2},
            400,
            "Invalid input received: Volume size 2GB cannot be smaller than the backup size 3GB. "
            "It must be >= backup size.",
        ),
        (
            {"size": 1001},
            {},
            413,
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed "
            "gigabytes quota. Requested 1001G, quota is 1000G and 1G has been consumed.",
        ),
    ],
)
@pytest.mark.parametrize("version", ["3.46", "3.71"])
def test_what_a_volume_from_a_backup_needs(api, rows, backup, wanted, code, words, version):
    rows.service()
    rows.service(binary="cinder-volume", repository=None)
    volume = rows.volume()
    if backup is not None:
        rows.backup(id=AN_ID, **backup)
    filled = {key: volume if value == "{volume}" else value for key, value in wanted.items()}
    body = {"volume": {"backup_id": AN_ID} | filled}
    assert told(api.post("/v3/volumes", body, version=version)) == (code, words)


@pytest.mark.parametrize("version", ["3.0", "3.47"])
def test_a_volume_from_a_backup_is_creating_and_the_backup_restoring(api, rows, version):
    rows.service()
    rows.service(binary="cinder-volume", repository=None)
    rows.backup(id=AN_ID, size=2)
    body = {"volume": {"backup_id": AN_ID, "name": "new", "metadata": {"a": "b"}}}
    answer = api.post("/v3/volumes", body, version=version, roles="member,reader")
    assert answer.status_code == 202, answer.text
    made = answer.json["volume"]
    assert (made["status"], made["size"], made["name"]) == ("creating", 2, "new")
    assert made["metadata"] == {"a": "b"}
    assert "backup_id" not in made
    assert api.get(f"/v3/backups/{AN_ID}").json["backup"]["status"] == "restoring"


def test_a_volume_from_anothers_backup_is_not_there(api, rows):
    foreign = rows.backup(project_id=OTHER)
    answer = api.post("/v3/volumes", {"volume": {"backup_id": foreign}}, roles="member,reader")
    assert told(answer) == (404, f"Backup {foreign} could not be found.")
