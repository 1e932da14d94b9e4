"""POST /volumes/{id}/action: size, status, flags, image metadata, deletion by force."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def act(api, volume_id, action, value=None, **how):
    return api.post(f"/v3/volumes/{volume_id}/action", {action: value}, **how)


def volume(api, volume_id):
    return api.get(f"/v3/volumes/{volume_id}").json["volume"]


ACTIONS = {
    "os-extend": ({"new_size": 2}, "volume:extend"),
    "os-reset_status": (
        {"status": "error"},
        "volume_extension:volume_admin_actions:reset_status",
    ),
    "os-set_bootable": ({"bootable": True}, "volume:update"),
    "os-update_readonly_flag": ({"readonly": True}, "volume:update_readonly_flag"),
    "os-force_delete": (None, "volume_extension:volume_admin_actions:force_delete"),
    "os-set_image_metadata": (
        {"metadata": {"k": "v"}},
        "volume_extension:volume_image_metadata:set",
    ),
    "os-unset_image_metadata": (
        {"key": "k"},
        "volume_extension:volume_image_metadata:remove",
    ),
    "os-reserve": (None, "volume_extension:volume_actions:reserve"),
    "os-unreserve": (None, "volume_extension:volume_actions:unreserve"),
    "os-begin_detaching": (None, "volume_extension:volume_actions:begin_detaching"),
    "os-roll_detaching": (None, "volume_extension:volume_actions:roll_detaching"),
    "os-attach": (
        {"mountpoint": "/dev/vdb", "host_name": "h"},
        "volume_extension:volume_actions:attach",
    ),
    "os-detach": ({}, "volume_extension:volume_actions:detach"),
    "os-force_detach": ({}, "volume_extension:volume_admin_actions:force_detach"),
    "os-initialize_connection": (
        {"connector": {}},
        "volume_extension:volume_actions:initialize_connection",
    ),
    "os-terminate_connection": (
        {"connector": {}},
        "volume_extension:volume_actions:terminate_connection",
    ),
}
FOR_ADMINS = {"os-reset_status", "os-force_delete", "os-force_detach"}


@pytest.mark.parametrize("action", ACTIONS)
def test_readers_do_nothing_to_a_volume(api, rows, action):
    value, rule = ACTIONS[action]
    volume_id = rows.volume(image_metadata={"k": "v"})
    before = volume(api, volume_id)
    who = MEMBER if action in FOR_ADMINS else READER
    answer = act(api, volume_id, action, value, **who)
    assert fault(answer) == (403, f"Policy doesn't allow {rule} to be performed.")
    assert volume(api, volume_id) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_is_done_to_volumes_that_are_not_there(api, rows, action):
    value, _ = ACTIONS[action]
    foreign = rows.volume(project_id="another")
    for volume_id in (AN_ID, "by-name", foreign):
        answer = act(api, volume_id, action, value, **MEMBER)
        assert fault(answer) == (404, f"Volume {volume_id} could not be found.")


@pytest.mark.parametrize(
    "action",
    ["os-retype", "os-migrate_volume", "os-volume_upload_image", "os-reimage", "os-unmanage", "x"],
)
def test_what_is_not_supported_is_no_action(api, rows, action):
    assert fault(act(api, rows.volume(), action, {})) == (
        400,
        f"There is no such action: {action}. Verify the request body and Content-Type header and "
        "try again.",
    )


# os-extend


@pytest.mark.parametrize("new_size", [3, "3"])
def test_an_available_volume_is_extended(api, rows, new_size):
    volume_id = rows.volume(size=2)
    answer = act(api, volume_id, "os-extend", {"new_size": new_size}, **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert volume(api, volume_id)["status"] == "extending"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"new_size": 2}, "Invalid input received: New size for extend must be greater than "
         "current size. (current: 2, extended: 2)."),
        ({"new_size": 1}, "Invalid input received: New size for extend must be greater than "
         "current size. (current: 2, extended: 1)."),
        ({"new_size": 0}, "Invalid input for field/attribute new_size. Value: 0. 0 is less than "
         "the minimum of 1"),
        ({"new_size": "0"}, "Invalid input for field/attribute new_size. Value: 0. 0 is less than "
         "the minimum of 1"),
        ({"new_size": "x"}, "Invalid input for field/attribute new_size. Value: x. 'x' does not "
         "match '^[0-9]+$'"),
        ({"new_size": "9" * 5000}, None),
        ({"new_size": None}, "Invalid input for field/attribute new_size. Value: None. None is not "
         "of type 'integer', 'string'"),
        ({}, "Invalid input for field/attribute os-extend. Value: {}. 'new_size' is a required "
         "property"),
        (None, "Invalid input for field/attribute os-extend. Value: None. None is not of type "
         "'object'"),
    ],
)  # fmt: skip
def test_a_size_to_which_no_volume_is_extended(api, rows, value, words):
    code, said = fault(act(api, rows.volume(size=2), "os-extend", value))
    assert code == 400
    assert words in (None, said)


@pytest.mark.parametrize(
    ("status", "version", "code"),
    [
        ("available", "3.0", 202),
        ("in-use", "3.41", 400),
        ("in-use", "3.42", 202),
        ("error", "3.42", 400),
        ("extending", "3.71", 400),
    ],
)
def test_a_volume_in_use_is_extended_from_3_42_on(api, rows, status, version, code):
    volume_id = rows.volume(status=status)
    answer = act(api, volume_id, "os-extend", {"new_size": 2}, version=version, **MEMBER)
    assert answer.status_code == code
    if code == 400:
        assert fault(answer)[1] == (
            f"Invalid volume: Volume {volume_id} status must be '{{'status': 'available'}}' to "
            f"extend, currently {status}."
        )


def test_a_volume_in_use_has_a_policy_of_its_own(api, rows):
    answer = act(api, rows.volume(status="in-use"), "os-extend", {"new_size": 2}, **READER)
    assert fault(answer) == (
        403, "Policy doesn't allow volume:extend_attached_volume to be performed."
    )  # fmt: skip


def test_what_is_added_counts(api, rows):
    rows.volume(size=500)
    volume_id = rows.volume(size=400)
    assert fault(act(api, volume_id, "os-extend", {"new_size": 501})) == (
        413,
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes "
        "quota. Requested 101G, quota is 1000G and 900G has been consumed.",
    )
    assert volume(api, volume_id)["status"] == "available"


# os-set_bootable, os-update_readonly_flag


@pytest.mark.parametrize(("value", "shown"), [(True, "true"), ("no", "false"), ("1", "true")])
def test_a_volume_is_bootable_or_not(api, rows, value, shown):
    volume_id = rows.volume(bootable=shown == "false")
    answer = act(api, volume_id, "os-set_bootable", {"bootable": value}, **MEMBER)
    assert (answer.status_code, answer.content) == (200, b"")
    assert volume(api, volume_id)["bootable"] == shown


@pytest.mark.parametrize(("action", "key"), [("set_bootable", "bootable"),
                                             ("update_readonly_flag", "readonly")])  # fmt: skip
@pytest.mark.parametrize("value", [None, {}, {"x": True}])
def test_flags_are_booleans(api, rows, action, key, value):
    assert act(api, rows.volume(), f"os-{action}", value).status_code == 400
    answer = act(api, rows.volume(), f"os-{action}", {key: "maybe"})
    code, words = fault(answer)
    assert code == 400
    assert words.startswith(
        f"Invalid input for field/attribute {key}. Value: maybe. 'maybe' is not one of [True, "
    )


def test_in_maintenance_a_volume_is_not_updated(api, rows):
    volume_id = rows.volume(status="maintenance")
    words = "Invalid volume: The volume cannot be updated during maintenance."
    assert fault(act(api, volume_id, "os-set_bootable", {"bootable": True})) == (400, words)
    answer = api.put(f"/v3/volumes/{volume_id}", {"volume": {"name": "x"}})
    assert fault(answer) == (400, words)


@pytest.mark.parametrize(("value", "shown"), [(True, "True"), ("off", "False")])
def test_the_readonly_flag_is_shown_as_metadata(api, rows, value, shown):
    volume_id = rows.volume(metadata={"k": "v"})
    answer = act(api, volume_id, "os-update_readonly_flag", {"readonly": value}, **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert volume(api, volume_id)["metadata"] == {"k": "v", "readonly": shown}
    (item,) = api.get("/v3/volumes/detail", **MEMBER).json["volumes"]
    assert item["metadata"] == {"k": "v", "readonly": shown}
    own = api.get(f"/v3/volumes/{volume_id}/metadata").json["metadata"]
    assert own == {"k": "v"}


def test_only_an_available_volume_becomes_readonly(api, rows):
    volume_id = rows.volume(status="in-use")
    assert fault(act(api, volume_id, "os-update_readonly_flag", {"readonly": True})) == (
        400,
        f"Invalid volume: Volume {volume_id} status must be available to update readonly flag, but "
        "current status is: in-use.",
    )


# image metadata


def test_image_metadata_is_set_shown_and_unset(api, rows):
    volume_id = rows.volume(image_metadata={"a": "1"})
    given = {"metadata": {"os": "linux"}}
    answer = act(api, volume_id, "os-set_image_metadata", given, **MEMBER)
    both = {"a": "1", "os": "linux"}
    assert (answer.status_code, answer.json) == (200, {"metadata": both})
    assert volume(api, volume_id)["volume_image_metadata"] == both
    shown = act(api, volume_id, "os-show_image_metadata", **READER)
    assert (shown.status_code, shown.json) == (200, {"metadata": both})
    gone = act(api, volume_id, "os-unset_image_metadata", {"key": "a"}, **MEMBER)
    assert (gone.status_code, gone.content) == (200, b"")
    assert volume(api, volume_id)["volume_image_metadata"] == {"os": "linux"}


def test_image_metadata_that_is_not_there(api, rows):
    volume_id = rows.volume()
    words = f"Glance metadata for volume/snapshot {volume_id} cannot be found."
    assert fault(act(api, volume_id, "os-show_image_metadata")) == (404, words)
    assert fault(act(api, volume_id, "os-unset_image_metadata", {"key": "x"})) == (404, words)
    assert "volume_image_metadata" not in volume(api, volume_id)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "None is not of type 'object'"),
        ({"k": 1}, "1 is not of type 'string'"),
        ({"": "x"}, "'' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'"),
        ({"k": "x" * 65536}, "is not a 'mysql_text'"),
    ],
)
def test_image_metadata_that_is_none(api, rows, metadata, words):
    code, said = fault(act(api, rows.volume(), "os-set_image_metadata", {"metadata": metadata}))
    assert code == 400
    assert words in said
    assert act(api, rows.volume(), "os-set_image_metadata", {}).status_code == 400


@pytest.mark.parametrize("value", [None, {}, {"key": ""}, {"key": None}, {"key": "k", "x": 1}])
def test_a_key_that_is_none(api, rows, value):
    volume_id = rows.volume(image_metadata={"k": "v"})
    assert act(api, volume_id, "os-unset_image_metadata", value).status_code == 400


@pytest.mark.parametrize("status", ["maintenance", "uploading"])
def test_some_volumes_keep_their_image_metadata(api, rows, status):
    volume_id = rows.volume(status=status, image_metadata={"k": "v"})
    words = f"volume metadata is not allowed for volumes in {status} status."
    given = {"metadata": {"a": "b"}}
    assert fault(act(api, volume_id, "os-set_image_metadata", given)) == (
        400, f"Invalid volume: Updating {words}"
    )  # fmt: skip
    assert fault(act(api, volume_id, "os-unset_image_metadata", {"key": "k"})) == (
        400, f"Invalid volume: Deleting {words}"
    )  # fmt: skip


# os-force_delete


@pytest.mark.parametrize("status", ["creating", "error_deleting", "attaching", "backing-up"])
def test_a_volume_is_deleted_by_force_whatever_it_is(api, rows, status):
    volume_id = rows.volume(status=status)
    answer = act(api, volume_id, "os-force_delete", {})
    assert (answer.status_code, answer.content) == (202, b"")
    assert volume(api, volume_id)["status"] == "deleting"


CANNOT = (
    "Invalid volume: Volume  must not be migrating, attached, belong to a group, have snapshots, "
    "awaiting a transfer, or be disassociated from snapshots after volume transfer."
)


@pytest.mark.parametrize(
    "values", [{"attach_status": "attached"}, {"migration_status": "migrating"}]
)
def test_force_does_not_take_a_volume_away_from_who_has_it(api, rows, values):
    volume_id = rows.volume(**values)
    assert fault(act(api, volume_id, "os-force_delete")) == (400, CANNOT)


def test_force_leaves_snapshots(api, rows):
    volume_id = rows.volume()
    rows.snapshot(volume_id, status="backing-up")
    assert fault(act(api, volume_id, "os-force_delete")) == (400, CANNOT)


# revert


def revert(api, volume_id, snapshot_id, version="3.40", **how):
    return act(api, volume_id, "revert", {"snapshot_id": snapshot_id}, version=version, **how)


def test_a_volume_is_reverted_to_its_latest_snapshot(api, rows):
    volume_id = rows.volume()
    rows.snapshot(volume_id)
    latest = rows.snapshot(volume_id)
    answer = revert(api, volume_id, latest, **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert volume(api, volume_id)["status"] == "reverting"
    assert api.get(f"/v3/snapshots/{latest}").json["snapshot"]["status"] == "restoring"


def test_before_3_40_nothing_is_reverted(api, rows):
    volume_id = rows.volume()
    answer = revert(api, volume_id, rows.snapshot(volume_id), version="3.39")
    assert fault(answer) == (404, "The resource could not be found.")


@pytest.mark.parametrize("body", [None, [], {"snapshot_id": 1}])
def test_a_body_that_reverts_nothing(api, rows, body):
    assert act(api, rows.volume(), "revert", body).status_code == 400


def test_only_the_latest_snapshot_will_do(api, rows):
    volume_id = rows.volume()
    assert fault(revert(api, volume_id, AN_ID)) == (
        400, f"Volume {volume_id} doesn't have any snapshots."
    )  # fmt: skip
    earlier, _ = rows.snapshot(volume_id), rows.snapshot(volume_id)
    for snapshot_id in (earlier, None, AN_ID):
        assert fault(revert(api, volume_id, snapshot_id)) == (
            400,
            f"Specified snapshot {snapshot_id} is None or not the latest one of volume "
            f"{volume_id}.",
        )


@pytest.mark.parametrize(
    ("of_volume", "of_snapshot", "code", "words"),
    [
        ({"size": 2}, {}, 400, "Can't revert volume {v} to its latest snapshot {s}. The volume "
         "size must be equal to the snapshot size."),
        ({"status": "in-use"}, {}, 409, "Invalid volume: Can't revert volume {v} to its latest "
         "snapshot {s}. Volume's status must be 'available'."),
        ({}, {"status": "error"}, 409, "Invalid snapshot: Can't revert volume {v} to its latest "
         "snapshot {s}. Snapshot's status must be 'available'."),
    ],
)  # fmt: skip
def test_a_volume_that_is_not_reverted_now(api, rows, of_volume, of_snapshot, code, words):
    volume_id = rows.volume(**of_volume)
    snapshot_id = rows.snapshot(volume_id, **of_snapshot)
    expected = (code, words.format(v=volume_id, s=snapshot_id))
    assert fault(revert(api, volume_id, snapshot_id)) == expected
    assert volume(api, volume_id)["status"] == of_volume.get("status", "available")


def test_who_may_revert_a_volume(api, rows):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id)
    for roles, rule in (("reader", "revert_to_snapshot"), ("someone", "get")):
        assert fault(revert(api, volume_id, snapshot_id, roles=roles)) == (
            403, f"Policy doesn't allow volume:{rule} to be performed."
        )  # fmt: skip
    assert fault(revert(api, AN_ID, snapshot_id)) == (404, f"Volume {AN_ID} could not be found.")
