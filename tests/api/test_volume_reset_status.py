"""POST /volumes/{id}/action: os-reset_status."""

import pytest

STATUSES = (
    "creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing",
    "attaching", "in-use", "detaching", "maintenance", "restoring-backup", "error_restoring",
    "reserved", "awaiting-transfer", "backing-up", "error_backing-up", "error_extending",
    "downloading", "uploading", "retyping", "extending",
)  # fmt: skip


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def act(api, volume_id, action, value=None, **how):
    return api.post(f"/v3/volumes/{volume_id}/action", {action: value}, **how)


def volume(api, volume_id):
    return api.get(f"/v3/volumes/{volume_id}").json["volume"]


@pytest.mark.parametrize("status", sorted({*STATUSES} - {"deleting", "in-use"}))
def test_an_admin_says_what_a_volume_is(api, rows, status):
    volume_id = rows.volume()
    answer = act(api, volume_id, "os-reset_status", {"status": status.upper()})
    assert (answer.status_code, answer.content) == (202, b"")
    shown = {"managing": "creating", "error_managing": "error"}.get(status, status)
    assert volume(api, volume_id)["status"] == shown


@pytest.mark.parametrize("status", ["attached", "detached"])
def test_an_admin_says_whether_a_volume_is_attached(api, rows, status):
    volume_id = rows.volume()
    value = {"attach_status": status, "status": None}
    assert act(api, volume_id, "os-reset_status", value).status_code == 202
    deleted = api.delete(f"/v3/volumes/{volume_id}").status_code
    assert deleted == {"attached": 400, "detached": 202}[status]


@pytest.mark.parametrize(
    "status", ["migrating", "error", "success", "completing", "none", "starting"]
)
def test_an_admin_says_how_a_volume_migrates(api, rows, status):
    volume_id = rows.volume(migration_status="x")
    value = {"migration_status": status}
    assert act(api, volume_id, "os-reset_status", value).status_code == 202
    shown = volume(api, volume_id)
    expected = None if status == "none" else status
    assert shown["migration_status"] == shown["os-vol-mig-status-attr:migstat"] == expected
    may_go = expected in (None, "error", "success")
    assert (api.delete(f"/v3/volumes/{volume_id}").status_code == 202) == may_go


ALL = ", ".join(repr(status) for status in STATUSES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "Must specify 'status', 'attach_status' or 'migration_status' for update."),
        ({"status": None}, "Must specify 'status', 'attach_status' or 'migration_status' for "
         "update."),
        ({"status": ""}, "Must specify 'status', 'attach_status' or 'migration_status' for "
         "update."),
        ({"status": "x"}, f"Volume status: x is invalid, valid statuses are: ({ALL})."),
        ({"attach_status": "x"}, "Volume attach status: x is invalid, valid statuses are: "
         "['attached', 'detached']."),
        ({"migration_status": "x"}, "Volume migration status: x is invalid, valid statuses are: "
         "('migrating', 'error', 'success', 'completing', 'none', 'starting')."),
        ({"status": "error", "x": 1}, "Invalid input for field/attribute os-reset_status. Value: "
         "{'status': 'error', 'x': 1}. Additional properties are not allowed ('x' was unexpected)"),
        ({"status": 1}, "Invalid input for field/attribute status. Value: 1. 1 is not of type "
         "'string', 'null'"),
        (None, "Invalid input for field/attribute os-reset_status. Value: None. None is not of "
         "type 'object'"),
        ({"status": "in-use"}, "Cannot reset-state to in-use because volume does not have any "
         "attachments."),
        ({"status": "deleting"}, "Cannot reset-state to deleting"),
    ],
)  # fmt: skip
def test_a_status_that_no_volume_gets(api, rows, value, words):
    volume_id = rows.volume()
    assert fault(act(api, volume_id, "os-reset_status", value)) == (400, words)
    assert volume(api, volume_id)["status"] == "available"


def test_a_volume_with_an_attachment_is_reset_to_in_use_and_detached(api, rows):
    volume_id = rows.volume()
    act(api, volume_id, "os-attach", {"mountpoint": "/dev/vdb", "host_name": "h"})
    act(api, volume_id, "os-reset_status", {"status": "error"})
    assert act(api, volume_id, "os-reset_status", {"status": "in-use"}).status_code == 202
    assert volume(api, volume_id)["status"] == "in-use"
    value = {"status": "error", "attach_status": "detached"}
    assert act(api, volume_id, "os-reset_status", value).status_code == 202
    shown = volume(api, volume_id)
    assert (shown["status"], shown["attachments"]) == ("available", [])
    assert "attached_mode" not in shown["metadata"]
