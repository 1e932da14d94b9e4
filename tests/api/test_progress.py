"""GET /emberkeep/v1/backups/{id}/progress: how far the work on a backup is."""

MEMBER = {"roles": "member,reader"}


def test_a_queued_backup_has_done_nothing_yet(api, rows):
    rows.service()
    created = api.post("/v3/backups", {"backup": {"volume_id": rows.volume()}}).json["backup"]
    answer = api.get(f"/emberkeep/v1/backups/{created['id']}/progress", **MEMBER)
    assert answer.status_code == 200
    assert answer.json == {
        "progress": {
            "backup_id": created["id"],
            "status": "creating",
            "work": "backup",
            "state": "queued",
            "attempt": 0,
            "bytes_done": 0,
            "bytes_total": 0,
            "bytes_stored": 0,
        }
    }
    assert "openstack-api-version" not in answer.headers


def test_a_backup_on_which_nobody_works(api, rows):
    backup_id = rows.backup()
    assert api.get(f"/emberkeep/v1/backups/{backup_id}/progress").json["progress"] == {
        "backup_id": backup_id,
        "status": "available",
        "work": None,
        "state": None,
    }


def test_the_progress_of_others_is_not_found(api, rows):
    backup_id = rows.backup(project_id="another")
    answer = api.get(f"/emberkeep/v1/backups/{backup_id}/progress", **MEMBER)
    assert answer.json["itemNotFound"]["message"] == f"Backup {backup_id} could not be found."


def test_it_needs_a_token_like_everything_else(api):
    assert api.get("/emberkeep/v1/zones", token=None).status_code == 204
