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
    body = {"snapshot": {"volume_id": rows.volume()}}
    snapshot_id = api.post("/v3/snapshots", body).json["snapshot"]["id"]
    shown = api.get(f"/v3/snapshots/{snapshot_id}").json["snapshot"]
    assert shown["os-extended-snapshot-attributes:progress"] == "0%"


@pytest.mark.parametrize("key", ["name", "display_name"])
def test_a_new_snapshot_is_creating(api, rows, key):
    volume_id = rows.volume(size=3)
    wanted = {key: " s ", "description": " d ", "metadata": {"k": "v"}, "volume_id": volume_id}
    snapshot = api.post("/v3/snapshots", {"snapshot": wanted}, **MEMBER).json["snapshot"]
    expected = {
        "status": "creating",
        "name": "s",
        "description": "d",
        "metadata": {"k": "v"},
        "volume_id": volume_id,
        "size": 3,
        "updated_at": None,
    }
    assert {name: snapshot[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (None, "Invalid input for field/attribute snapshot. Value: None. None is not of type "
         "'object'"),
        ({}, "Invalid input for field/attribute snapshot. Value: {}. 'volume_id' is a required "
         "property"),
        ({"volume_id": "x"}, "Invalid input for field/attribute volume_id. Value: x. 'x' is not "
         "valid under any of the given schemas"),
        ({"volume_id": AN_ID, "name": "x" * 256}, None),
        ({"volume_id": AN_ID, "force": "maybe"}, None),
        ({"volume_id": AN_ID, "metadata": {"k": 1}}, None),
        ({"volume_id": AN_ID, "x": 1}, None),
    ],
)  # fmt: skip
def test_a_body_that_is_no_snapshot(api, snapshot, words):
    code, said = fault(api.post("/v3/snapshots", {"snapshot": snapshot}))
    assert code == 400
    assert words in (None, said)


@pytest.mark.parametrize("volume_id", [None, AN_ID])
def test_a_snapshot_of_no_volume(api, volume_id):
    assert fault(api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}})) == (
        404, f"Volume {volume_id} could not be found."
    )  # fmt: skip


def test_the_quota_of_snapshots(api, rows):
    volume_id = rows.volume()
    for _ in range(10):
        rows.snapshot(volume_id)
    body = {"snapshot": {"volume_id": volume_id}}
    assert fault(api.post("/v3/snapshots", body)) == (
        413, "SnapshotLimitExceeded: Maximum number of snapshots allowed (10) exceeded"
    )  # fmt: skip


def test_snapshots_count_as_gigabytes(api, rows):
    rows.snapshot(rows.volume(size=500), size=400)
    body = {"snapshot": {"volume_id": rows.volume(size=60)}}
    assert fault(api.post("/v3/snapshots", body)) == (
        413,
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes "
        "quota. Requested 60G, quota is 1000G and 960G has been consumed.",
    )


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


def test_a_volume_that_migrates_has_no_snapshot(api, rows):
    body = {"snapshot": {"volume_id": rows.volume(status="error", migration_status="migrating")}}
    assert fault(api.post("/v3/snapshots", body)) == (
        400, "Invalid volume: Snapshot cannot be created while volume is migrating."
    )  # fmt: skip


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


@pytest.fixture
def three(rows):
    """Snapshots a, b and c, the newest last, of two volumes."""
    one, two = rows.volume(), rows.volume(availability_zone="az2")
    return {
        "a": rows.snapshot(one, name="a", metadata={"k": "v"}, size=3),
        "b": rows.snapshot(two, name="b", status="error", size=1),
        "c": rows.snapshot(one, name="c", metadata={"k": "x"}, user_id="bob", size=2),
        "one": one,
    }


def names(answer):
    assert answer.status_code == 200, answer.json
    return "".join(snapshot["name"] for snapshot in answer.json["snapshots"])


@pytest.mark.parametrize(
    ("who", "version", "query", "found"),
    [
        ("member", "3.71", "name=a", "a"),
        ("member", "3.71", "status=error", "b"),
        ("member", "3.71", "volume_id={one}", "ca"),
        ("member", "3.71", "metadata={{'k':'v'}}", "a"),
        ("member", "3.71", "metadata=x", ""),
        ("member", "3.71", "availability_zone=az2", "b"),
        ("member", "3.71", "consumes_quota=true", "cba"),
        ("member", "3.71", "consumes_quota=0", ""),
        ("member", "3.71", "sort=name:asc", "abc"),
        ("member", "3.71", "sort=volume_size", "acb"),
        ("member", "3.71", "limit=1&offset=1", "b"),
        ("member", "3.71", "marker={c}", "ba"),
        ("member", "3.71", "all_tenants=1", "cba"),
        ("member", "3.30", "unknown=1", "cba"),
        ("member", "3.30", "availability_zone=az2", "cba"),
        ("member", "3.21", "metadata={{'k':'v'}}", "cba"),
        ("member", "3.22", "metadata={{'k':'v'}}", "a"),
        ("member", "3.30", "sort=name:asc", "abc"),
        ("admin", "3.71", "user_id=bob", "c"),
        ("admin", "3.71", "volume_size=3", "a"),
        ("admin", "3.71", "size=3", ""),
        ("admin", "3.71", "name~=b", "b"),
        ("admin", "3.71", "unknown=1", ""),
        ("admin", "3.71", "all_tenants=1", "xcba"),
        ("admin", "3.71", "all_tenants=x", "cba"),
    ],
)
def test_snapshots_are_filtered_sorted_and_paged(api, three, rows, who, version, query, found):
    rows.snapshot(rows.volume(), name="x", project_id="another")
    how = MEMBER if who == "member" else {}
    for path in ("/v3/snapshots", "/v3/snapshots/detail"):
        answer = api.get(f"{path}?{query.format(**three)}", version=version, **how)
        assert names(answer) == found


@pytest.mark.parametrize(
    ("version", "query", "words"),
    [
        ("3.71", "unknown=1", "Invalid filters unknown are found in query options."),
        ("3.71", "consumes_quota=x", "Value 'x' for 'use_quota' is not a boolean."),
        ("3.71", "with_count=x", "Value 'x' for 'with_count' is not a boolean."),
        ("3.71", "sort=size", "Invalid input received: Invalid sort key"),
        ("3.29", "sort=name", "Invalid input received: Invalid sort key"),
        ("3.71", "limit=x", "limit param must be an integer"),
    ],
)
def test_what_a_list_of_snapshots_must_not_ask(api, three, version, query, words):
    answer = api.get(f"/v3/snapshots?{query}", version=version, **MEMBER)
    assert fault(answer) == (400, words)


def test_snapshots_are_counted_from_3_45_on(api, three):
    answer = api.get("/v3/snapshots?with_count=1&limit=1", version="3.45", **MEMBER)
    assert (names(answer), answer.json["count"]) == ("c", 3)
    assert "count" not in api.get("/v3/snapshots?with_count=1", version="3.30", **MEMBER).json


def test_without_a_role_no_snapshot_is_listed(api):
    assert fault(api.get("/v3/snapshots", roles="someone")) == (
        403, "Policy doesn't allow volume:get_all_snapshots to be performed."
    )  # fmt: skip


# PUT


@pytest.mark.parametrize(
    ("changes", "name", "description"),
    [
        ({"name": " n "}, "n", "old"),
        ({"display_name": None}, None, "old"),
        ({"description": " d "}, "old", "d"),
        ({"display_description": "d"}, "old", "d"),
        ({"name": "n", "display_name": "m", "description": ""}, "n", ""),
    ],
)
def test_a_snapshot_is_renamed_in_any_status(api, rows, changes, name, description):
    snapshot_id = rows.snapshot(rows.volume(), name="old", description="old", status="error")
    answer = api.put(f"/v3/snapshots/{snapshot_id}", {"snapshot": changes}, version="3.0")
    assert answer.status_code == 200
    changed = answer.json["snapshot"]
    assert list(changed) == SHORT
    assert (changed["name"], changed["description"]) == (name, description)
    assert changed["updated_at"] is not None


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (None, "Invalid input for field/attribute snapshot. Value: None. None is not of type "
         "'object'"),
        ({}, "Invalid input for field/attribute snapshot. Value: {}. {} is not valid under any of "
         "the given schemas"),
        ({"name": "n", "metadata": {}}, None),
        ({"name": "x" * 256}, None),
        ({"name": 1}, None),
    ],
)  # fmt: skip
def test_a_body_that_renames_nothing(api, rows, snapshot, words):
    snapshot_id = rows.snapshot(rows.volume())
    code, said = fault(api.put(f"/v3/snapshots/{snapshot_id}", {"snapshot": snapshot}))
    assert code == 400
    assert words in (None, said)


def test_who_may_rename_a_snapshot(api, rows):
    body = {"snapshot": {"name": "n"}}
    own = rows.snapshot(rows.volume())
    foreign = rows.snapshot(rows.volume(), project_id="another")
    assert fault(api.put(f"/v3/snapshots/{own}", body, roles="reader")) == (
        403, "Policy doesn't allow volume:update_snapshot to be performed."
    )  # fmt: skip
    for snapshot_id in (foreign, AN_ID):
        assert fault(api.put(f"/v3/snapshots/{snapshot_id}", body, **MEMBER)) == (
            404, f"Snapshot {snapshot_id} could not be found."
        )  # fmt: skip
    assert api.put(f"/v3/snapshots/{foreign}", body).status_code == 200


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


def test_readers_and_strangers_delete_no_snapshot(api, rows):
    own = rows.snapshot(rows.volume())
    foreign = rows.snapshot(rows.volume(), project_id="another")
    assert fault(api.delete(f"/v3/snapshots/{own}", roles="reader")) == (
        403, "Policy doesn't allow volume:delete_snapshot to be performed."
    )  # fmt: skip
    assert fault(api.delete(f"/v3/snapshots/{foreign}", **MEMBER)) == (
        404, f"Snapshot {foreign} could not be found."
    )  # fmt: skip


# POST /snapshots/{id}/action


STATUSES = (
    "error", "available", "creating", "deleting", "deleted", "updating", "error_deleting",
    "unmanaging", "backing-up", "restoring",
)  # fmt: skip
ADMIN_ACTIONS = "volume_extension:snapshot_admin_actions"


def act(api, snapshot_id, action, value=None, **how):
    return api.post(f"/v3/snapshots/{snapshot_id}/action", {action: value}, **how)


@pytest.mark.parametrize("status", STATUSES)
def test_an_admin_says_what_a_snapshot_is(api, rows, status):
    snapshot_id = rows.snapshot(rows.volume())
    answer = act(api, snapshot_id, "os-reset_status", {"status": status.upper()})
    assert (answer.status_code, answer.content) == (202, b"")
    assert api.get(f"/v3/snapshots/{snapshot_id}").json["snapshot"]["status"] == status


@pytest.mark.parametrize("status", ["x", ""])
def test_a_status_that_no_snapshot_gets(api, rows, status):
    answer = act(api, rows.snapshot(rows.volume()), "os-reset_status", {"status": status})
    assert fault(answer) == (
        400, f"Snapshot status: {status} is invalid, valid statuses are: {STATUSES}."
    )  # fmt: skip


@pytest.mark.parametrize("value", [None, {}, {"status": None}, {"status": "error", "x": 1}])
def test_a_body_that_resets_nothing(api, rows, value):
    assert act(api, rows.snapshot(rows.volume()), "os-reset_status", value).status_code == 400


@pytest.mark.parametrize("status", STATUSES)
def test_a_snapshot_is_deleted_by_force_whatever_it_is(api, rows, status):
    snapshot_id = rows.snapshot(rows.volume(), status=status)
    answer = act(api, snapshot_id, "os-force_delete")
    assert (answer.status_code, answer.content) == (202, b"")
    assert api.get(f"/v3/snapshots/{snapshot_id}").json["snapshot"]["status"] == "deleting"


@pytest.mark.parametrize(
    ("action", "value"), [("reset_status", {"status": "error"}), ("force_delete", None)]
)
def test_only_admins_do_it(api, rows, action, value):
    snapshot_id = rows.snapshot(rows.volume())
    assert fault(act(api, snapshot_id, f"os-{action}", value, **MEMBER)) == (
        403, f"Policy doesn't allow {ADMIN_ACTIONS}:{action} to be performed."
    )  # fmt: skip
    assert fault(act(api, AN_ID, f"os-{action}", value)) == (
        404, f"Snapshot {AN_ID} could not be found."
    )  # fmt: skip


def test_an_action_on_snapshots_that_there_is_not(api, rows):
    assert fault(act(api, rows.snapshot(rows.volume()), "os-unmanage")) == (
        400,
        "There is no such action: os-unmanage. Verify the request body and Content-Type header "
        "and try again.",
    )
