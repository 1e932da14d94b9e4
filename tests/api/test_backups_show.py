"""Backups as JSON: which keys each microversion shows, to whom, and in which order."""

from datetime import datetime

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
VOLUME = "ffbb8af0-2cae-43fb-a7f7-c340e35f7360"
AT_3_0 = [
    "id", "status", "size", "object_count", "availability_zone", "container", "created_at",
    "updated_at", "name", "description", "fail_reason", "volume_id", "links", "is_incremental",
    "has_dependent_backups", "snapshot_id", "data_timestamp",
]  # fmt: skip
OWNER = "os-backup-project-attr:project_id"


def shown(api, backup_id, **how):
    return api.get(f"/v3/backups/{backup_id}", **how).json["backup"]


def test_a_whole_document(api, rows):
    rows.backup(
        id=AN_ID,
        volume_id=VOLUME,
        display_name="nightly",
        object_count=4,
        created_at=datetime(2026, 11, 22, 23, 45, 28, 74493),
        updated_at=datetime(2026, 11, 22, 23, 45, 28),
        data_timestamp=datetime(2026, 11, 22, 23, 45, 28, 74493),
    )
    path = f"/v3/{PROJECT}/backups/{AN_ID}"
    answer = api.get(path, version="3.64")
    assert answer.status_code == 200
    assert answer.json == {
        "backup": {
            "id": AN_ID,
            "status": "available",
            "size": 1,
            "object_count": 4,
            "availability_zone": "az1",
            "container": "volumebackups",
            "created_at": "2026-11-22T23:45:28.074493",
            "updated_at": "2026-11-22T23:45:28.000000",
            "name": "nightly",
            "description": None,
            "fail_reason": None,
            "volume_id": VOLUME,
            "links": [
                {"rel": "self", "href": f"http://localhost:8776{path}"},
                {"rel": "bookmark", "href": f"http://localhost:8776/{PROJECT}/backups/{AN_ID}"},
            ],
            "is_incremental": False,
            "has_dependent_backups": False,
            "snapshot_id": None,
            "data_timestamp": "2026-11-22T23:45:28.074493",
            "metadata": {},
            OWNER: PROJECT,
            "user_id": "ada",
        }
    }


@pytest.mark.parametrize(
    ("version", "for_members", "for_admins"),
    [
        ("3.0", [], []),
        ("3.17", [], []),
        ("3.18", [], [OWNER]),
        ("3.43", ["metadata"], ["metadata", OWNER]),
        ("3.55", ["metadata"], ["metadata", OWNER]),
        ("3.56", ["metadata"], ["metadata", OWNER, "user_id"]),
        ("3.63", ["metadata"], ["metadata", OWNER, "user_id"]),
        (
            "3.64",
            ["metadata", "encryption_key_id"],
            ["metadata", "encryption_key_id", OWNER, "user_id"],
        ),
    ],
)
def test_later_microversions_add_keys_in_cinders_order(api, rows, version, for_members, for_admins):
    backup_id = rows.backup(encryption_key_id=AN_ID)
    member = shown(api, backup_id, version=version, roles="member,reader")
    admin = shown(api, backup_id, version=version)
    assert list(member) == AT_3_0 + for_members
    assert list(admin) == AT_3_0 + for_admins


@pytest.mark.parametrize("key", [None, "00000000-0000-0000-0000-000000000000"])
def test_no_key_is_shown_where_there_is_none(api, rows, key):
    assert "encryption_key_id" not in shown(api, rows.backup(encryption_key_id=key))


def test_the_two_flags_of_a_chain(api, rows):
    base = rows.backup(num_dependent_backups=1)
    increment = rows.backup(parent_id=AN_ID)  # even though there is no such parent
    flags = [
        (document["is_incremental"], document["has_dependent_backups"])
        for document in (shown(api, base), shown(api, increment))
    ]
    assert flags == [(False, True), (True, False)]


@pytest.mark.parametrize("suffix", ["", ".json", "?any=thing"])
def test_links_never_repeat_a_suffix(api, rows, suffix):
    backup_id = rows.backup()
    document = api.get(f"/v3/backups/{backup_id}{suffix}").json["backup"]
    assert document["links"][0]["href"] == f"http://localhost:8776/v3/backups/{backup_id}"


@pytest.mark.parametrize(
    "backup_id", [AN_ID, "import_record", "x", "5e851e083d6f46cf834371edee572b0a"]
)
def test_an_unknown_id_is_not_found_whatever_its_form(api, rows, backup_id):
    rows.backup(deleted=True, id=AN_ID)
    answer = api.get(f"/v3/backups/{backup_id}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.json == {
        "itemNotFound": {"code": 404, "message": f"Backup {backup_id} could not be found."}
    }


def test_only_an_admin_sees_the_backups_of_others(api, rows):
    backup_id = rows.backup(project_id="another")
    assert api.get(f"/v3/backups/{backup_id}", roles="member,reader").status_code == 404
    assert shown(api, backup_id)[OWNER] == "another"


def test_without_a_role_the_own_backup_is_forbidden(api, rows):
    answer = api.get(f"/v3/backups/{rows.backup()}", roles="someone")
    assert answer.status_code == 403
    assert answer.json["forbidden"]["message"] == (
        "Policy doesn't allow backup:get to be performed."
    )
