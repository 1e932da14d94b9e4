"""GET /emberkeep/v1/backups/{id}: whether a backup's data is whole."""

MEMBER = {"roles": "member,reader"}


def test_a_backup_without_data_has_nothing_to_verify(api, rows):
    backup_id = rows.backup(status="error")
    answer = api.get(f"/emberkeep/v1/backups/{backup_id}", **MEMBER)
    assert answer.status_code == 200
    assert answer.json == {
        "backup": {
            "id": backup_id,
            "status": "error",
            "availability_zone": answer.json["backup"]["availability_zone"],
            "size_bytes": None,
            "verification": None,
        }
    }


def test_a_backup_that_nobody_looked_at_is_unverified(api, rows):
    backup_id = rows.backup(root="0" * 32, size_bytes=7)
    shown = api.get(f"/emberkeep/v1/backups/{backup_id}").json["backup"]
    assert shown["size_bytes"] == 7
    assert shown["verification"] == {
        "result": "unverified",
        "checked_at": None,
        "depth": None,
        "damage": [],
    }


def test_the_condition_of_others_is_not_found(api, rows):
    backup_id = rows.backup(project_id="another")
    answer = api.get(f"/emberkeep/v1/backups/{backup_id}", **MEMBER)
    assert answer.json["itemNotFound"]["message"] == f"Backup {backup_id} could not be found."
