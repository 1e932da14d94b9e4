"""Snapshots: POST /snapshots, lists, show and deletion."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
MEMBER = {"roles": "member,reader"}
SHORT = [
    "id", "created_at", "updated_at", "name", "description", "volume_id", "status", "size",
    "metadata",
]  # fmt: skip
EXTENDED = [
    "os-extended-snapshot-attributes:project_id",
    "os-extended-snapshot-attributes:progress",
]


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


@pytest.mark.parametrize(
    ("version", "added"),
    [
        ("3.0", []),
        ("3.14", ["group_snapshot_id"]),
        ("3.41", ["group_snapshot_id", "user_id"]),
        ("3.65", ["group_snapshot_id", "user_id", "consumes_quota"]),
    ],
)
def test_later_microversions_add_keys(api, rows, version, added):
    volume_id = rows.volume()
    body = {"snapshot": {"volume_id": volume_id, "name": "s", "metadata": None}}
    answer = api.post("/v3/snapshots", body, version=version)
    assert answer.status_code == 202
    assert list(answer.json["snapshot"]) == SHORT + added
    snapshot_id = answer.json["snapshot"]["id"]
    shown = api.get(f"/v3/snapshots/{snapshot_id}", version=version).json["snapshot"]
    assert list(shown) == SHORT + added + EXTENDED
    (item,) = api.get("/v3/snapshots/detail", version=version).json["snapshots"]
    assert item == shown
    (item,) = api.get("/v3/snapshots", version=version).json["snapshots"]
    assert list(item) == SHORT


def test_a_finished_snapshot_says_so(api, rows):
    shown = api.get(f"/v3/snapshots/{rows.snapshot(rows.volume())}").json["snapshot"]
    assert [shown[key] for key in EXTENDED] == [PROJECT, "100%"]


@pytest.mark.parametrize(
    ("version", "force", "code"),
    [
        ("3.65", {}, 400),
        ("3.65", {"force": False}, 400),
        ("3.65", {"force": "yes"}, 202),
        ("3.66", {}, 202),
        ("3.66", {"force": True}, 202),
        ("3.66", {"force": False}, 400),
    ],
)
def test_a_volume_in_use_takes_force_before_3_66(api, rows, version, force, code):
    body = {"snapshot": {"volume_id": rows.volume(status="in-use"), **force}}
    assert api.post("/v3/snapshots", body, version=version).status_code == code


def test_from_3_66_on_force_cannot_be_false(api, rows):
    body = {"snapshot": {"volume_id": rows.volume(), "force": "no"}}
    assert fault(api.post("/v3/snapshots", body, version="3.66")) == (
        400,
        "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward "
        "compatability, however, when the 'force' flag is passed with a value evaluating to True, "
        "it is silently ignored.",
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            "maintenance",
            "Invalid volume: The snapshot cannot be created when the volume is in maintenance "
            "mode.",
        ),
        (
            "error",
            "Invalid volume: The snapshot cannot be created when the volume is in error status.",
        ),
        (
            "creating",
            "Invalid volume: Volume {id} status must be available, but current status is: "
            "creating.",
        ),
    ],
)
def test_a_volume_that_has_no_snapshot_now(api, rows, status, words):
    volume_id = rows.volume(status=status)
    answer = api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, version="3.65")
    assert fault(answer) == (400, words.format(id=volume_id))


def test_the_volume_is_looked_up_before_the_policy_is_asked(api, rows):
    body = {"snapshot": {"volume_id": AN_ID}}
    assert fault(api.post("/v3/snapshots", body, roles="reader"))[0] == 404
    body = {"snapshot": {"volume_id": rows.volume()}}
    assert fault(api.post("/v3/snapshots", body, roles="reader")) == (
        403, "Policy doesn't allow volume:create_snapshot to be performed."
    )  # fmt: skip


def test_the_own_snapshot_is_forbidden_without_a_role_and_foreign_ones_are_unknown(api, rows):
    own = rows.snapshot(rows.volume())
    foreign = rows.snapshot(rows.volume(), project_id="another")
    assert fault(api.get(f"/v3/snapshots/{own}", roles="someone")) == (
        403, "Policy doesn't allow volume:get_snapshot to be performed."
    )  # fmt: skip
    assert fault(api.get(f"/v3/snapshots/{foreign}", **MEMBER)) == (
        404, f"Snapshot {foreign} could not be found."
    )  # fmt: skip


def test_lists_are_filtered_and_linked(api, rows):
    volume_id = rows.volume()
    rows.snapshot(volume_id, name="a")
    newest = rows.snapshot(volume_id, name="b")
    rows.snapshot(rows.volume(), name="c", project_id="another")
    answer = api.get(f"/v3/snapshots?volume_id={volume_id}&limit=1", **MEMBER)
    assert [snapshot["name"] for snapshot in answer.json["snapshots"]] == ["b"]
    assert answer.json["snapshots_links"] == [
        {
            "rel": "next",
            "href": "http://localhost:8776/v3/snapshots"
            f"?volume_id={volume_id}&limit=1&marker={newest}",
        }
    ]
    assert fault(api.get("/v3/snapshots?marker=x")) == (404, "Snapshot x could not be found.")


@pytest.mark.parametrize(
    ("status", "code"),
    [("available", 202), ("error", 202), ("backing-up", 400), ("creating", 400)],
)
def test_an_idle_snapshot_is_deleted(api, rows, status, code):
    snapshot_id = rows.snapshot(rows.volume(), status=status)
    answer = api.delete(f"/v3/snapshots/{snapshot_id}", **MEMBER)
    assert answer.status_code == code
    if code == 400:
        assert fault(answer)[1] == (
            "Invalid snapshot: Snapshot status must be available or error and must not be part "
            "of a group."
        )
