"""How a server takes a volume and gives it back by actions, the older way."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
ANOTHER_ID = "6e851e08-3d6f-46cf-8343-71edee572b0b"
MEMBER = {"roles": "member,reader"}
CONNECTOR = {"host": "h", "mountpoint": "/dev/vdb"}


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def attach(api, volume_id, **given):
    return api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, **given}})


def complete(api, attachment_id, **how):
    return api.post(f"/v3/attachments/{attachment_id}/action", {"os-complete": None}, **how)


def attached(api, volume_id, **given):
    """Reserve, connect and complete; the attachment's id."""
    attachment_id = attach(api, volume_id, connector=CONNECTOR, **given).json["attachment"]["id"]
    assert complete(api, attachment_id).status_code == 204
    return attachment_id


def status(api, volume_id):
    return api.get(f"/v3/volumes/{volume_id}").json["volume"]["status"]


def act(api, volume_id, action, value=None, **how):
    return api.post(f"/v3/volumes/{volume_id}/action", {f"os-{action}": value}, **how)


def test_a_server_attaches_and_detaches_a_volume_by_actions(api, rows):
    volume_id = rows.volume(metadata={"k": "v"})
    for action, value, after in (
        ("reserve", None, "attaching"),
        ("attach", {"mountpoint": "/dev/vdb", "instance_uuid": AN_ID}, "in-use"),
        ("begin_detaching", None, "detaching"),
        ("roll_detaching", None, "in-use"),
        ("begin_detaching", None, "detaching"),
        ("detach", {}, "available"),
    ):
        answer = act(api, volume_id, action, value, **MEMBER)
        assert (answer.status_code, answer.content) == (202, b"")
        volume = api.get(f"/v3/volumes/{volume_id}").json["volume"]
        assert volume["status"] == after
        if action == "attach":
            assert volume["metadata"] == {"k": "v", "readonly": "False", "attached_mode": "rw"}
            (item,) = volume["attachments"]
            assert (item["server_id"], item["device"]) == (AN_ID, "/dev/vdb")
            assert item["host_name"] is None
    assert volume["attachments"] == []
    assert volume["metadata"] == {"k": "v", "readonly": "False"}


def test_a_host_attaches_a_volume(api, rows):
    volume_id = rows.volume()
    given = {"mountpoint": "/mnt", "host_name": "A host_1!", "mode": "ro"}
    assert act(api, volume_id, "attach", given).status_code == 202
    volume = api.get(f"/v3/volumes/{volume_id}").json["volume"]
    (item,) = volume["attachments"]
    assert (item["host_name"], item["server_id"]) == ("a-host-1", None)
    assert volume["metadata"]["attached_mode"] == "ro"
    assert act(api, volume_id, "attach", given).status_code == 202  # it has it already
    assert len(api.get(f"/v3/volumes/{volume_id}").json["volume"]["attachments"]) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "Invalid input for field/attribute os-attach. Value: None. None is not of type "
         "'object'"),
        ({"host_name": "h"}, "Invalid input for field/attribute os-attach. Value: {'host_name': "
         "'h'}. 'mountpoint' is a required property"),
        ({"mountpoint": "/x"}, "Invalid input for field/attribute os-attach. Value: {'mountpoint': "
         "'/x'}. {'mountpoint': '/x'} is not valid under any of the given schemas"),
        ({"mountpoint": "/x", "instance_uuid": "x"}, "Invalid input for field/attribute "
         "instance_uuid. Value: x. 'x' is not a 'uuid'"),
        ({"mountpoint": "/x", "host_name": "h", "mode": "x"}, "Invalid input for field/attribute "
         "mode. Value: x. 'x' is not one of ['rw', 'ro']"),
    ],
)  # fmt: skip
def test_a_body_that_attaches_nothing(api, rows, value, words):
    assert fault(act(api, rows.volume(), "attach", value)) == (400, words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": "in-use"}, "Invalid volume: volume is already attached and multiple "
         "attachments are not enabled"),
        ({"status": "maintenance"}, "Invalid volume: The volume cannot be attached in maintenance "
         "mode."),
        ({"admin_metadata": {"readonly": "True"}}, "Invalid attaching mode 'rw' for volume {id}."),
        ({"status": "attaching", "admin_metadata": {"attached_mode": "ro"}},
         "Invalid volume: being attached by different mode"),
        ({"status": "backing-up"}, "Invalid volume: Volume {id} can not be attached while it is "
         "backing-up."),
        ({"status": "restoring-backup"}, "Invalid volume: Volume {id} can not be attached while it "
         "is restoring-backup."),
    ],
)  # fmt: skip
def test_a_volume_that_cannot_be_attached_now(api, rows, values, words):
    volume_id = rows.volume(**values)
    given = {"mountpoint": "/dev/vdb", "host_name": "h"}
    assert fault(act(api, volume_id, "attach", given)) == (400, words.format(id=volume_id))


@pytest.mark.parametrize("value", [None, {}, {"attachment_id": None}])
def test_the_only_attachment_need_not_be_named(api, rows, value):
    volume_id = rows.volume()
    attached(api, volume_id)
    assert act(api, volume_id, "detach", value).status_code == 202
    assert status(api, volume_id) == "available"


def test_of_several_attachments_one_is_named(api, rows):
    volume_id = rows.volume()
    first = attached(api, volume_id, instance_uuid=AN_ID)
    attach(api, volume_id, instance_uuid=AN_ID)
    in_use = (
        409, "ConflictNovaUsingAttachment: Detach volume from instance  using the Compute API"
    )  # fmt: skip
    assert fault(act(api, volume_id, "detach", {})) == in_use
    assert fault(act(api, volume_id, "detach", {"attachment_id": ANOTHER_ID})) == in_use
    assert fault(act(api, volume_id, "terminate_connection", {"connector": {}})) == in_use
    other = rows.volume()
    assert fault(act(api, other, "detach", {"attachment_id": first})) == (
        400, "Invalid input received: Mismatched volume and attachment"
    )  # fmt: skip
    assert act(api, volume_id, "detach", {"attachment_id": first}).status_code == 202
    assert status(api, volume_id) == "reserved"


def test_in_maintenance_nothing_is_detached_or_connected(api, rows):
    volume_id = rows.volume(status="maintenance")
    assert fault(act(api, volume_id, "detach", {})) == (
        400, "Invalid volume: The volume cannot be detached in maintenance mode."
    )  # fmt: skip
    assert fault(act(api, volume_id, "initialize_connection", {"connector": {}})) == (
        400,
        "Invalid volume: The volume connection cannot be initialized in maintenance mode.",
    )


def test_an_admin_detaches_by_force(api, rows):
    volume_id = rows.volume()
    attached(api, volume_id)
    value = {"connector": None, "attachment_id": None}
    assert act(api, volume_id, "force_detach", value).status_code == 202
    assert status(api, volume_id) == "available"


@pytest.mark.parametrize("volume_status", ["in-use", "attaching", "error"])
def test_only_an_available_volume_is_reserved(api, rows, volume_status):
    assert fault(act(api, rows.volume(status=volume_status), "reserve")) == (
        400,
        "Invalid volume: Volume status must be available to reserve, but the status is "
        f"{volume_status}.",
    )


@pytest.mark.parametrize("values", [{}, {"status": "in-use"}, {"attach_status": "attached"}])
def test_only_what_is_in_use_begins_to_be_detached(api, rows, values):
    assert fault(act(api, rows.volume(**values), "begin_detaching")) == (
        400,
        "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status "
        "must be 'attached' to detach.",
    )


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("unreserve", "attaching", "available"),
        ("unreserve", "error", "error"),
        ("roll_detaching", "detaching", "in-use"),
        ("roll_detaching", "error", "error"),
    ],
)
def test_what_is_taken_back_if_it_was_begun(api, rows, action, before, after):
    volume_id = rows.volume(status=before)
    assert act(api, volume_id, action).status_code == 202
    assert status(api, volume_id) == after


def test_a_connection_is_made_and_ended(api, rows):
    volume_id = rows.volume(status="attaching")
    given = {"connector": {"host": "h", "enforce_multipath": True}}
    answer = act(api, volume_id, "initialize_connection", given, **MEMBER)
    assert answer.status_code == 200
    assert answer.json == {
        "connection_info": {
            "driver_volume_type": "local",
            "data": {
                "volume_id": volume_id,
                "qos_specs": None,
                "access_mode": "rw",
                "encrypted": False,
                "cacheable": False,
                "enforce_multipath": True,
            },
            "enforce_multipath": True,
        }
    }
    answer = act(api, volume_id, "terminate_connection", given, **MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    assert status(api, volume_id) == "available"


@pytest.mark.parametrize("action", ["initialize_connection", "terminate_connection"])
@pytest.mark.parametrize("value", [None, {}, {"connector": 1}, {"connector": {}, "x": 1}])
def test_a_body_that_connects_nothing(api, rows, action, value):
    assert act(api, rows.volume(), action, value).status_code == 400


def test_a_connector_is_an_object(api, rows):
    value = {"connector": "a string"}
    assert act(api, rows.volume(), "initialize_connection", value).status_code == 400
