"""Volumes: PUT and DELETE /volumes/{id}."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
MEMBER = {"roles": "member,reader"}


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


# PUT


@pytest.mark.parametrize("version", ["3.0", "3.71"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": " n "}, {"name": "n"}),
        ({"display_name": None}, {"name": None}),
        ({"name": "n", "display_name": "m"}, {"name": "n"}),
        ({"description": "\td\n"}, {"description": "d"}),
        ({"display_description": "d"}, {"description": "d"}),
        ({"metadata": {"l": "w"}}, {"metadata": {"l": "w"}}),
        ({"metadata": {}}, {"metadata": {}}),
    ],
)
def test_a_volume_is_updated(api, rows, version, changes, expected):
    volume_id = rows.volume(name="old", description="old", metadata={"k": "v"}, status="in-use")
    path = f"/v3/volumes/{volume_id}"
    before = api.get(path, version=version, **MEMBER).json["volume"]
    answer = api.put(path, {"volume": changes}, version=version, **MEMBER)
    assert answer.status_code == 200
    after = answer.json["volume"]
    assert list(after) == [key for key in before if not key.startswith("os-vol-")]
    assert after["updated_at"] is not None
    assert after | {"updated_at": None} == {
        key: value for key, value in (before | expected).items() if key in after
    }


@pytest.mark.parametrize(
    ("version", "code"), [("3.0", 200), ("3.52", 200), ("3.53", 400), ("3.71", 400)]
)
def test_an_update_of_nothing(api, rows, version, code):
    volume_id = rows.volume(name="n")
    answer = api.put(f"/v3/volumes/{volume_id}", {"volume": {}}, version=version)
    assert answer.status_code == code
    if code == 400:
        assert fault(answer)[1] == (
            "Invalid input for field/attribute volume. Value: {}. {} is not valid under any of the "
            "given schemas"
        )
    else:
        assert (answer.json["volume"]["name"], answer.json["volume"]["updated_at"]) == ("n", None)


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (None, "Invalid input for field/attribute volume. Value: None. None is not of type "
         "'object'"),
        ({"name": "x" * 256}, "Invalid input received: name has 256 characters, more than 255."),
        ({"metadata": None}, "Invalid input for field/attribute metadata. Value: None. None is not "
         "of type 'object'"),
        ({"metadata": {"k": 1}}, "Invalid input for field/attribute k. Value: 1. 1 is not of type "
         "'string'"),
        ({"size": 3}, "Invalid input for field/attribute volume. Value: {'size': 3}. Additional "
         "properties are not allowed ('size' was unexpected)"),
        ({"name": 1}, "Invalid input for field/attribute name. Value: 1. 1 is not of type "
         "'string', 'null'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["3.0", "3.71"])
def test_a_body_that_updates_nothing(api, rows, version, volume, words):
    answer = api.put(f"/v3/volumes/{rows.volume()}", {"volume": volume}, version=version)
    assert fault(answer) == (400, words)


def test_who_may_update_a_volume(api, rows):
    body = {"volume": {"name": "n"}}
    own, foreign = rows.volume(), rows.volume(project_id="another")
    assert fault(api.put(f"/v3/volumes/{own}", body, roles="reader")) == (
        403, "Policy doesn't allow volume:update to be performed."
    )  # fmt: skip
    for volume_id, how in (
        (foreign, MEMBER), (AN_ID, {}), (own, {"roles": "someone"})
    ):  # fmt: skip
        assert fault(api.put(f"/v3/volumes/{volume_id}", body, **how)) == (
            404, f"Volume {volume_id} could not be found."
        )  # fmt: skip
    assert api.put(f"/v3/volumes/{foreign}", body).json["volume"]["name"] == "n"


# DELETE


@pytest.mark.parametrize("status", ["available", "error", "error_restoring", "error_extending"])
def test_an_idle_volume_is_deleted_and_its_backups_stay(api, rows, status):
    volume_id = rows.volume(status=status)
    backup_id = rows.backup(volume_id=volume_id)
    answer = api.delete(f"/v3/volumes/{volume_id}", **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert api.get(f"/v3/volumes/{volume_id}").json["volume"]["status"] == "deleting"
    assert api.get(f"/v3/backups/{backup_id}").status_code == 200


@pytest.mark.parametrize("status", ["creating", "in-use", "backing-up", "restoring-backup"])
def test_a_busy_volume_is_not_deleted(api, rows, status):
    code, words = fault(api.delete(f"/v3/volumes/{rows.volume(status=status)}"))
    assert code == 400
    assert words.startswith("Invalid volume: Volume status must be available or error or ")


def test_snapshots_go_with_their_volume_only_if_that_is_asked(api, rows):
    volume_id = rows.volume()
    rows.snapshot(volume_id)
    path = f"/v3/volumes/{volume_id}"
    assert api.delete(path).status_code == 400
    assert api.delete(f"{path}?cascade=maybe").status_code == 400
    assert api.delete(f"{path}?cascade=True").status_code == 202


@pytest.mark.parametrize(
    ("status", "project_id", "code"),
    [
        ("available", PROJECT, 202),
        ("error", PROJECT, 202),
        ("backing-up", PROJECT, 400),
        ("available", "another", 400),
    ],
)
def test_a_cascade_takes_snapshots_that_may_go(api, rows, status, project_id, code):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id, status=status, project_id=project_id)
    answer = api.delete(f"/v3/volumes/{volume_id}?cascade=true", **MEMBER)
    assert answer.status_code == code
    shown = api.get(f"/v3/snapshots/{snapshot_id}").json["snapshot"]["status"]
    assert shown == ("deleting" if code == 202 else status)


@pytest.mark.parametrize(
    ("version", "status", "query", "code"),
    [
        ("3.22", "creating", "force=true", 400),
        ("3.23", "creating", "force=true", 202),
        ("3.23", "creating", "force=false", 400),
        ("3.23", "available", "force=maybe", 400),
        ("3.22", "available", "force=maybe", 202),
    ],
)
def test_force_is_known_from_3_23_on(api, rows, version, status, query, code):
    volume_id = rows.volume(status=status)
    assert api.delete(f"/v3/volumes/{volume_id}?{query}", version=version).status_code == code


def test_force_takes_snapshots_only_in_a_cascade(api, rows):
    volume_id = rows.volume(status="creating")
    rows.snapshot(volume_id, status="backing-up")
    assert fault(api.delete(f"/v3/volumes/{volume_id}?force=1")) == (
        400,
        "Invalid volume: Volume  must not be migrating, attached, belong to a group, have "
        "snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.",
    )
    assert api.delete(f"/v3/volumes/{volume_id}?force=1&cascade=1").status_code == 202


def test_who_may_delete_a_volume(api, rows):
    own, foreign = rows.volume(), rows.volume(project_id="another")
    assert fault(api.delete(f"/v3/volumes/{own}", roles="reader")) == (
        403, "Policy doesn't allow volume:delete to be performed."
    )  # fmt: skip
    assert fault(api.delete(f"/v3/volumes/{own}?force=true", **MEMBER)) == (
        403, "Policy doesn't allow volume:force_delete to be performed."
    )  # fmt: skip
    for volume_id, how in ((foreign, MEMBER), (AN_ID, {}), (own, {"roles": "someone"})):
        assert fault(api.delete(f"/v3/volumes/{volume_id}", **how)) == (
            404, f"Volume {volume_id} could not be found."
        )  # fmt: skip
    assert api.delete(f"/v3/volumes/{foreign}").status_code == 202


def test_what_is_told_of_a_volume_that_cannot_go(api, rows):
    words = (
        "Invalid volume: Volume status must be available or error or error_restoring or "
        "error_extending or error_managing and must not be migrating, attached, belong to a group, "
        "have snapshots, awaiting a transfer, or be disassociated from snapshots after volume "
        "transfer."
    )
    for values in (
        {"status": "in-use"},
        {"attach_status": "attached"},
        {"migration_status": "migrating"},
    ):
        assert fault(api.delete(f"/v3/volumes/{rows.volume(**values)}")) == (400, words)
