"""Attachments: who uses a volume, by the API of 3.27."""

import re

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
ANOTHER_ID = "6e851e08-3d6f-46cf-8343-71edee572b0b"
MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}
CONNECTOR = {"host": "h", "mountpoint": "/dev/vdb", "ip": "192.0.2.1", "initiator": "iqn"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def attach(api, volume_id, **given):
    return api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, **given}})


def attached(api, volume_id, **given):
    """Reserve, connect and complete; the attachment's id."""
    attachment_id = attach(api, volume_id, connector=CONNECTOR, **given).json["attachment"]["id"]
    assert complete(api, attachment_id).status_code == 204
    return attachment_id


def complete(api, attachment_id, **how):
    return api.post(f"/v3/attachments/{attachment_id}/action", {"os-complete": None}, **how)


def shown(api, attachment_id):
    return api.get(f"/v3/attachments/{attachment_id}").json["attachment"]


def status(api, volume_id):
    return api.get(f"/v3/volumes/{volume_id}").json["volume"]["status"]


def act(api, volume_id, action, value=None, **how):
    return api.post(f"/v3/volumes/{volume_id}/action", {f"os-{action}": value}, **how)


def test_a_volume_is_reserved_connected_used_and_given_back(api, rows):
    volume_id = rows.volume()
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": AN_ID}}
    answer = api.post("/v3/attachments", body, **MEMBER)
    assert answer.status_code == 200
    reserved = answer.json["attachment"]
    attachment_id = reserved.pop("id")
    assert reserved == {
        "status": "reserved",
        "instance": AN_ID,
        "volume_id": volume_id,
        "attached_at": "",
        "detached_at": "",
        "attach_mode": None,
        "connection_info": {},
    }
    assert status(api, volume_id) == "reserved"

    path = f"/v3/attachments/{attachment_id}"
    answer = api.put(path, {"attachment": {"connector": CONNECTOR}}, **MEMBER)
    assert answer.status_code == 200
    info = answer.json["attachment"]["connection_info"]
    assert info["attachment_id"] == attachment_id
    assert (info["driver_volume_type"], info["access_mode"]) == ("local", "rw")
    assert (info["encrypted"], info["enforce_multipath"]) == (False, False)
    assert (shown(api, attachment_id)["status"], status(api, volume_id)) == ("attaching",) * 2
    assert api.get(f"/v3/volumes/{volume_id}").json["volume"]["attachments"] == []

    answer = complete(api, attachment_id, **MEMBER)
    assert (answer.status_code, answer.content) == (204, b"")
    found = shown(api, attachment_id)
    assert (found["status"], found["attach_mode"]) == ("attached", "rw")
    assert MOMENT.fullmatch(found["attached_at"])
    assert found["connection_info"] == info
    assert status(api, volume_id) == "in-use"

    answer = api.delete(path, **MEMBER)
    assert (answer.status_code, answer.json) == (200, {"attachments": []})
    assert api.get(path).status_code == 404
    assert status(api, volume_id) == "available"


def test_a_volume_says_who_uses_it(api, rows):
    volume_id = rows.volume()
    attachment_id = attached(api, volume_id, instance_uuid=AN_ID)
    for volume in (
        api.get(f"/v3/volumes/{volume_id}").json["volume"],
        *api.get("/v3/volumes/detail").json["volumes"],
        api.put(f"/v3/volumes/{volume_id}", {"volume": {"name": "x"}}).json["volume"],
    ):
        (item,) = volume["attachments"]
        assert MOMENT.fullmatch(item.pop("attached_at"))
        assert item == {
            "id": volume_id,
            "attachment_id": attachment_id,
            "volume_id": volume_id,
            "server_id": AN_ID,
            "host_name": "h",
            "device": "/dev/vdb",
        }
    (item,) = api.get(f"/v3/volumes/{volume_id}", **MEMBER).json["volume"]["attachments"]
    assert item["host_name"] is None


def test_reserving_and_connecting_in_one_call(api, rows):
    volume_id = rows.volume()
    given = {"connector": CONNECTOR, "instance_uuid": AN_ID}
    answer = attach(api, volume_id, **given).json["attachment"]
    assert answer["connection_info"]["attachment_id"] == answer["id"]
    assert (shown(api, answer["id"])["status"], status(api, volume_id)) == ("attaching",) * 2


@pytest.mark.parametrize(
    ("given", "connector", "mode"),
    [
        ({"mode": "ro"}, CONNECTOR, "ro"),
        ({"mode": "rw"}, {**CONNECTOR, "mode": "ro"}, "rw"),
        ({}, {**CONNECTOR, "mode": "ro"}, "ro"),
        ({}, CONNECTOR, "rw"),
    ],
)
def test_the_mode_is_asked_for_or_the_connectors(api, rows, given, connector, mode):
    attachment_id = attach(api, rows.volume(), **given).json["attachment"]["id"]
    assert shown(api, attachment_id)["attach_mode"] == given.get("mode")
    body = {"attachment": {"connector": connector}}
    api.put(f"/v3/attachments/{attachment_id}", body)
    assert shown(api, attachment_id)["attach_mode"] == mode


def test_a_readonly_volume_is_attached_so(api, rows):
    volume_id = rows.volume(admin_metadata={"readonly": "True"})
    answer = attach(api, volume_id, mode="rw", connector=CONNECTOR).json["attachment"]
    assert answer["attach_mode"] == answer["connection_info"]["access_mode"] == "ro"


@pytest.mark.parametrize(
    ("version", "code"), [("3.26", 404), ("3.27", 200), ("3.53", 400), ("3.54", 200)]
)
def test_the_microversions_of_a_new_attachment(api, rows, version, code):
    mode = {"mode": "ro"} if version > "3.5" else {}
    body = {"attachment": {"volume_uuid": rows.volume(), **mode}}
    answer = api.post("/v3/attachments", body, version=version)
    assert answer.status_code == code
    if code == 404:
        assert fault(answer) == (404, "The resource could not be found.")


@pytest.mark.parametrize("version", ["3.0", "3.26"])
def test_before_3_27_there_are_no_attachments(api, rows, version):
    attachment_id = attach(api, rows.volume()).json["attachment"]["id"]
    path = f"/v3/attachments/{attachment_id}"
    for answer in (
        api.get("/v3/attachments", version=version),
        api.get("/v3/attachments/detail", version=version),
        api.get(path, version=version),
        api.put(path, {"attachment": {"connector": CONNECTOR}}, version=version),
        api.delete(path, version=version),
    ):
        assert fault(answer) == (404, "The resource could not be found.")


def test_before_3_44_nothing_is_completed(api, rows):
    attachment_id = attach(api, rows.volume()).json["attachment"]["id"]
    assert fault(complete(api, attachment_id, version="3.43")) == (
        404, "The resource could not be found."
    )  # fmt: skip
    assert complete(api, attachment_id, version="3.44").status_code == 204


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        (None, "Invalid input for field/attribute attachment. Value: None. None is not of type "
         "'object'"),
        ({}, "Invalid input for field/attribute attachment. Value: {}. 'volume_uuid' is a required "
         "property"),
        ({"volume_uuid": "x"}, "Invalid input for field/attribute volume_uuid. Value: x. 'x' is "
         "not a 'uuid'"),
        ({"volume_uuid": AN_ID, "instance_uuid": None}, "Invalid input for field/attribute "
         "instance_uuid. Value: None. None is not of type 'string'"),
        ({"volume_uuid": AN_ID, "connector": "x"}, "Invalid input for field/attribute connector. "
         "Value: x. 'x' is not of type 'object', 'null'"),
        ({"volume_uuid": AN_ID, "mode": "x"}, "Invalid input for field/attribute mode. Value: x. "
         "'x' is not one of ['rw', 'ro']"),
        ({"volume_uuid": AN_ID, "x": 1}, "Invalid input for field/attribute attachment. Value: "
         f"{{'volume_uuid': '{AN_ID}', 'x': 1}}. Additional properties are not allowed ('x' was "
         "unexpected)"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_new_attachment(api, attachment, words):
    assert fault(api.post("/v3/attachments", {"attachment": attachment})) == (400, words)


@pytest.mark.parametrize(
    "attachment",
    [None, {}, {"connector": None}, {"connector": {}}, {"connector": {"a": 1}, "x": 1}],
)
def test_a_body_that_is_no_connection(api, rows, attachment):
    attachment_id = attach(api, rows.volume()).json["attachment"]["id"]
    path = f"/v3/attachments/{attachment_id}"
    assert api.put(path, {"attachment": attachment}).status_code == 400
    assert shown(api, attachment_id)["status"] == "reserved"


def test_a_connector_without_a_host_is_taken(api, rows):
    attachment_id = attach(api, rows.volume(), connector={"host": 1, "mountpoint": []}).json[
        "attachment"
    ]["id"]
    assert complete(api, attachment_id).status_code == 204


@pytest.mark.parametrize("volume_status", ["creating", "in-use", "reserved", "backing-up"])
def test_who_has_a_volume_keeps_it(api, rows, volume_status):
    volume_id = rows.volume(status=volume_status)
    assert fault(attach(api, volume_id, instance_uuid=AN_ID)) == (
        400,
        f"Invalid volume: Volume {volume_id} status must be available or downloading to reserve, "
        f"but the current status is {volume_status}.",
    )


@pytest.mark.parametrize("volume_status", ["error", "error_restoring"])
def test_a_volume_in_error_is_not_attached(api, rows, volume_status):
    volume_id = rows.volume(status=volume_status)
    assert fault(attach(api, volume_id)) == (
        400,
        "Invalid volume: Volume attachments can not be created if the volume is in an error state. "
        f"The Volume {volume_id} currently has a status of: {volume_status} ",
    )


def test_a_server_that_moves_has_the_volume_twice(api, rows):
    volume_id = rows.volume()
    first = attached(api, volume_id, instance_uuid=AN_ID)
    assert attach(api, volume_id, instance_uuid=ANOTHER_ID).status_code == 400
    second = attach(api, volume_id, instance_uuid=AN_ID).json["attachment"]["id"]
    assert status(api, volume_id) == "in-use"
    answer = api.put(f"/v3/attachments/{second}", {"attachment": {"connector": CONNECTOR}})
    assert fault(answer) == (
        409, f"Resource conflict: duplicate connectors detected on volume {volume_id}"
    )  # fmt: skip
    (left,) = api.delete(f"/v3/attachments/{first}").json["attachments"]
    assert left == {
        "id": second, "status": "reserved", "instance": AN_ID, "volume_id": volume_id
    }  # fmt: skip
    assert status(api, volume_id) == "reserved"


def test_nothing_is_connected_to_a_volume_in_error(api, rows):
    volume_id = rows.volume()
    attachment_id = attach(api, volume_id).json["attachment"]["id"]
    act(api, volume_id, "reset_status", {"status": "error"})
    answer = api.put(f"/v3/attachments/{attachment_id}", {"attachment": {"connector": CONNECTOR}})
    assert fault(answer) == (
        409,
        "Resource conflict: Volume attachments can not be updated if the volume is in an error "
        f"state. The Volume {volume_id} currently has a status of: error ",
    )


def test_what_is_not_there_or_foreign_is_not_found(api, rows):
    foreign = attach(api, rows.volume(project_id="another")).json["attachment"]["id"]
    for attachment_id in (AN_ID, "x", foreign):
        path = f"/v3/attachments/{attachment_id}"
        words = (
            f"Volume attachment could not be found with filter: attachment_id = {attachment_id}."
        )
        for answer in (
            api.get(path, **MEMBER),
            api.put(path, {"attachment": {"connector": CONNECTOR}}, **MEMBER),
            complete(api, attachment_id, **MEMBER),
            api.delete(path, **MEMBER),
        ):
            assert fault(answer) == (404, words)
    for volume_id in (AN_ID, rows.volume(project_id="another")):
        body = {"attachment": {"volume_uuid": volume_id}}
        assert fault(api.post("/v3/attachments", body, **MEMBER)) == (
            404, f"Volume {volume_id} could not be found."
        )  # fmt: skip


def test_readers_look_and_touch_nothing(api, rows):
    attachment_id = attach(api, rows.volume()).json["attachment"]["id"]
    path = f"/v3/attachments/{attachment_id}"
    assert api.get(path, **READER).status_code == 200
    body = {"attachment": {"volume_uuid": rows.volume()}}
    connector = {"attachment": {"connector": CONNECTOR}}
    for rule, answer in (
        ("create", api.post("/v3/attachments", body, **READER)),
        ("update", api.put(path, connector, **READER)),
        ("complete", complete(api, attachment_id, **READER)),
        ("delete", api.delete(path, **READER)),
    ):
        assert fault(answer) == (
            403, f"Policy doesn't allow volume:attachment_{rule} to be performed."
        )  # fmt: skip
    assert shown(api, attachment_id)["status"] == "reserved"


@pytest.fixture
def three(api, rows):
    """Three attachments, one of them another project's, by letter."""
    a, b = rows.volume(), rows.volume()
    x = rows.volume(project_id="another")
    return {
        "a": attached(api, a, instance_uuid=AN_ID),
        "b": attach(api, b).json["attachment"]["id"],
        "x": attach(api, x).json["attachment"]["id"],
        "volume of b": b,
    }


@pytest.mark.parametrize(
    ("who", "query", "found"),
    [
        ("member", "", "ba"),
        ("admin", "", "ba"),
        ("admin", "all_tenants=1", "xba"),
        ("member", "all_tenants=1", "ba"),
        ("member", "limit=1", "b"),
        ("member", "limit=1&offset=1", "a"),
        ("member", "limit=1&marker={b}", "a"),
        ("member", "sort=created_at:asc", "ab"),
        ("member", "sort_key=created_at&sort_dir=asc", "ab"),
        ("member", "volume_id={volume of b}", "b"),
        ("member", "attach_status=attached", "a"),
        ("member", f"instance_id={AN_ID}", "a"),
        ("member", "status=attached", ""),
        ("admin", "attached_host=h", "a"),
        ("admin", "unknown=1", ""),
        ("admin", "with_count=1", ""),
    ],
)
def test_attachments_are_listed(api, three, who, query, found):
    letters = {attachment_id: letter for letter, attachment_id in three.items()}
    how = MEMBER if who == "member" else {}
    query = query.format(**three)
    for path in ("/v3/attachments", "/v3/attachments/detail"):
        answer = api.get(f"{path}?{query}", **how)
        assert list(answer.json) == ["attachments"]
        assert "".join(letters[item["id"]] for item in answer.json["attachments"]) == found


def test_the_list_is_short_and_the_detail_is_not(api, rows):
    attach(api, rows.volume())
    (item,) = api.get("/v3/attachments").json["attachments"]
    assert list(item) == ["id", "status", "instance", "volume_id"]
    (item,) = api.get("/v3/attachments/detail").json["attachments"]
    assert list(item) == [
        "id", "status", "instance", "volume_id", "attached_at", "detached_at", "attach_mode",
        "connection_info",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "version", "code", "words"),
    [
        ("unknown=1", "3.31", 400, "Invalid filters unknown are found in query options."),
        ("with_count=1", "3.71", 400, "Invalid filters with_count are found in query options."),
        ("unknown=1", "3.30", 200, None),
        ("limit=x", "3.71", 400, "limit param must be an integer"),
        ("sort=x", "3.71", 400, "Invalid input received: Invalid sort key"),
        ("marker=x", "3.71", 404,
         "Volume attachment could not be found with filter: attachment_id = x."),
    ],
)  # fmt: skip
def test_what_a_list_of_attachments_must_not_ask(api, query, version, code, words):
    answer = api.get(f"/v3/attachments?{query}", version=version, **MEMBER)
    assert answer.status_code == code
    if words is not None:
        assert fault(answer) == (code, words)


def test_an_attached_volume_is_not_deleted(api, rows):
    volume_id = rows.volume()
    attached(api, volume_id)
    for path in (f"/v3/volumes/{volume_id}", f"/v3/volumes/{volume_id}?force=true&cascade=true"):
        assert api.delete(path).status_code == 400
    assert act(api, volume_id, "force_delete").status_code == 400
