"""What projects may have: quota sets, and the classes that are behind them."""

import base64
import json

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
OTHER = "b" * 32
SET = f"/v3/os-quota-sets/{PROJECT}"
CLASS = "/v3/os-quota-class-sets/default"
MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}
NOBODY = {"roles": "someone"}
DEFAULTS = {
    "volumes": 10,
    "per_volume_gigabytes": -1,
    "snapshots": 10,
    "gigabytes": 1000,
    "backups": 10,
    "backup_gigabytes": 1000,
    "volumes___DEFAULT__": -1,
    "gigabytes___DEFAULT__": -1,
    "snapshots___DEFAULT__": -1,
    "groups": 10,
}
GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def limits(api, path=SET, **how):
    ((_, found),) = api.get(path, **how).json.items()
    found.pop("id")
    return found


def test_a_quota_set_has_every_resource_in_cinders_order(api):
    answer = api.get(SET)
    assert answer.status_code == 200
    assert list(answer.json["quota_set"].items()) == [*DEFAULTS.items(), ("id", PROJECT)]


def test_usage_is_counted_and_nothing_is_reserved(api, rows):
    volume = rows.volume(size=3)
    rows.volume(size=4)
    rows.volume(size=100, project_id=OTHER)
    rows.volume(size=100, deleted=True)
    rows.snapshot(volume, size=3)
    rows.snapshot(volume, size=100, project_id=OTHER)
    rows.backup(size=5)
    rows.backup(size=6, status="error")
    rows.backup(size=100, deleted=True)
    used = {
        "volumes": 2,
        "snapshots": 1,
        "gigabytes": 10,
        "backups": 2,
        "backup_gigabytes": 11,
        "volumes___DEFAULT__": 2,
        "gigabytes___DEFAULT__": 10,
        "snapshots___DEFAULT__": 1,
    }
    found = api.get(f"{SET}?usage=True").json["quota_set"]
    assert found.pop("id") == PROJECT
    assert found == {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in DEFAULTS.items()
    }
    assert limits(api, f"{SET}?usage=no") == DEFAULTS


@pytest.mark.parametrize("text", ["x", "", "2"])
def test_usage_is_a_boolean(api, text):
    assert message(api.get(f"{SET}?usage={text}")) == (
        400,
        f"Value '{text}' for 'usage' is not a boolean.",
    )


@pytest.mark.parametrize("path", [SET, f"{SET}/defaults"])
def test_a_reader_sees_the_own_projects_set_only(api, path):
    assert api.get(path, **READER).status_code == 200
    denied = (403, "Policy doesn't allow volume_extension:quotas:show to be performed.")
    assert message(api.get(path, **NOBODY)) == denied
    assert message(api.get(path.replace(PROJECT, OTHER), **MEMBER)) == denied
    assert api.get(path.replace(PROJECT, OTHER)).status_code == 200


def test_the_policy_comes_before_the_parameter(api):
    assert api.get(f"{SET}?usage=x", **NOBODY).status_code == 403


def test_new_limits_hold_for_the_project_alone(api):
    wanted = {"backups": 3, "per_volume_gigabytes": 20, "gigabytes___DEFAULT__": 99, "groups": -1}
    answer = api.put(SET, {"quota_set": wanted})
    assert (answer.status_code, answer.json) == (200, {"quota_set": DEFAULTS | wanted})
    assert limits(api) == DEFAULTS | wanted
    assert limits(api, f"{SET}/defaults") == DEFAULTS
    assert limits(api, f"/v3/os-quota-sets/{OTHER}") == DEFAULTS
    api.put(SET, {"quota_set": {"backups": 4}})
    assert limits(api) == DEFAULTS | wanted | {"backups": 4}


def test_a_deleted_set_is_as_by_default(api):
    api.put(SET, {"quota_set": {"backups": 3}})
    answer = api.delete(SET)
    assert (answer.status_code, answer.content) == (200, b"")
    assert limits(api) == DEFAULTS


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"backups": None}, "backups must be an integer"),
        ({"backups": "many"}, "backups must be an integer"),
        ({"backups": 1.5}, "backups must be an integer"),
        ({"backups": 2.0}, "backups must be an integer"),
        ({"backups": True}, "backups must be an integer"),
        ({"backups": [1]}, "backups must be an integer"),
        ({"backups": "9" * 5000}, "backups must be an integer"),
        ({"backups": "5"}, GENERIC),
        ({"backups": -2}, "backups must be >= -1"),
        ({"backups": "-2"}, "backups must be >= -1"),
        ({"backups": 2147483648}, "backups must be <= 2147483647"),
        ({"x": 1}, "Invalid input received: Bad key(s) in quota set: x"),
        ({"y": 1, "x": 2}, "Invalid input received: Bad key(s) in quota set: y, x"),
        ({"x": 1, "backups": "many"}, "backups must be an integer"),
        ({}, "Invalid input for field/attribute quota_set. Value: {}. {} should be non-empty"),
        (
            None,
            "Invalid input for field/attribute quota_set. Value: None. None is not of type "
            "'object'",
        ),
        (
            [],
            "Invalid input for field/attribute quota_set. Value: []. [] is not of type 'object'",
        ),
    ],
)
def test_what_is_no_limit_is_refused(api, body, words):
    assert message(api.put(SET, {"quota_set": body})) == (400, words)
    assert limits(api) == DEFAULTS


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'quota_set' is a required property"),
        (
            {"quota_set": {"backups": 7}, "type": 1},
            "Additional properties are not allowed ('type' was unexpected)",
        ),
        ([], "[] is not of type 'object'"),
    ],
)
def test_a_body_has_one_root(api, body, words):
    assert message(api.put(SET, body)) == (400, words)


@pytest.mark.parametrize("limit", [0, -1, 2147483647])
def test_the_ends_of_the_range_are_limits(api, limit):
    assert api.put(SET, {"quota_set": {"backups": limit}}).json["quota_set"]["backups"] == limit


def test_digits_are_a_limit_of_one_volumes_size_only(api):
    answer = api.put(SET, {"quota_set": {"per_volume_gigabytes": "5"}})
    assert answer.json["quota_set"]["per_volume_gigabytes"] == 5


@pytest.mark.parametrize("digits", ["5", "5\n", "0" * 5000 + "5"])
def test_digits_are_a_limit_of_any_resource_of_a_class(api, digits):
    answer = api.put(CLASS, {"quota_class_set": {"backups": digits}})
    assert answer.json["quota_class_set"]["backups"] == 5


def test_a_newline_is_no_limit_of_a_class(api):
    assert api.put(CLASS, {"quota_class_set": {"backups": "\n"}}).status_code == 400


@pytest.mark.parametrize("key", ["tenant_id", "id"])
def test_what_names_the_project_is_no_limit(api, key):
    answer = api.put(SET, {"quota_set": {key: "x"}})
    assert (answer.status_code, answer.json) == (200, {"quota_set": DEFAULTS})


def test_a_limit_is_not_below_what_is_there(api, rows):
    rows.backup()
    rows.backup()
    rows.volume(size=5)
    words = (
        "Quota {} limit must be equal or greater than existing resources. Current usage is {} and "
        "the requested limit is {}."
    )
    assert message(api.put(SET, {"quota_set": {"backups": 1}})) == (
        400,
        words.format("backups", 2, 1),
    )
    assert message(api.put(SET, {"quota_set": {"gigabytes": 0}})) == (
        400,
        words.format("gigabytes", 5, 0),
    )
    wanted = {"backups": 2, "gigabytes": -1, "per_volume_gigabytes": 1}
    assert api.put(SET, {"quota_set": wanted}).status_code == 200


@pytest.mark.parametrize("wrong", [{"backups": 0}, {"x": 1}, {"backups": "5"}])
def test_of_several_limits_all_are_set_or_none(api, rows, wrong):
    rows.backup()
    assert api.put(SET, {"quota_set": {"volumes": 20, **wrong}}).status_code == 400
    assert limits(api) == DEFAULTS


def test_only_admins_change_a_set(api):
    for method, rule in (("PUT", "update"), ("DELETE", "delete")):
        body = {"quota_set": {"backups": 3}} if method == "PUT" else None
        assert message(api.request(method, SET, body, **MEMBER)) == (
            403,
            f"Policy doesn't allow volume_extension:quotas:{rule} to be performed.",
        )
    assert message(api.put(SET, {"quota_set": {"x": 3}}, **MEMBER))[0] == 400  # the schema is first


def test_a_projects_name_has_an_end(api):
    answer = api.put(f"/v3/os-quota-sets/{'x' * 256}", {"quota_set": {"backups": 3}})
    assert message(answer) == (
        400,
        "Invalid input received: quota_set_name has 256 characters, more than 255.",
    )


# Classes.


def test_a_class_shows_what_counts_for_it(api):
    answer = api.get(CLASS)
    assert answer.status_code == 200
    shown = [*DEFAULTS.items(), ("id", "default")]
    assert list(answer.json["quota_class_set"].items()) == shown
    assert limits(api, "/v3/os-quota-class-sets/gold") == DEFAULTS


def test_the_default_class_counts_where_a_project_has_no_limit_of_its_own(api):
    api.put(SET, {"quota_set": {"backups": 3}})
    wanted = {"backups": 7, "volumes": "8", "snapshots___DEFAULT__": 2}
    answer = api.put(CLASS, {"quota_class_set": wanted})
    changed = DEFAULTS | {"backups": 7, "volumes": 8, "snapshots___DEFAULT__": 2}
    assert (answer.status_code, answer.json) == (200, {"quota_class_set": changed})
    assert limits(api, f"/v3/os-quota-sets/{OTHER}") == changed
    assert limits(api, f"{SET}/defaults") == changed
    assert limits(api) == changed | {"backups": 3}
    api.delete(SET)
    assert limits(api) == changed


def test_another_class_counts_for_nobody(api):
    api.put("/v3/os-quota-class-sets/gold", {"quota_class_set": {"backups": 99}})
    assert limits(api, "/v3/os-quota-class-sets/gold") == DEFAULTS | {"backups": 99}
    assert limits(api) == DEFAULTS


def told(value, problem):
    return f"Invalid input for field/attribute backups. Value: {value}. {problem}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"x": 1}, "Invalid input received: Bad key(s) in quota class set: x"),
        ({"id": "default"}, "Invalid input received: Bad key(s) in quota class set: id"),
        ({"backups": None}, told(None, "None is not of type 'integer', 'string'")),
        ({"backups": 1.5}, told(1.5, "1.5 is not of type 'integer', 'string'")),
        ({"backups": True}, told(True, "True is not of type 'integer', 'string'")),
        ({"backups": "many"}, told("many", "'many' does not match '^[0-9]*$'")),
        ({"backups": "-1"}, told("-1", "'-1' does not match '^[0-9]*$'")),
        ({"backups": ""}, told("", "'' should be non-empty")),
        ({"backups": -2}, told(-2, "-2 is less than the minimum of -1")),
        (
            {"backups": 2147483648},
            told(2147483648, "2147483648 is greater than the maximum of 2147483647"),
        ),
        (
            {"backups": "99999999999999"},
            told("99999999999999", "99999999999999 is greater than the maximum of 2147483647"),
        ),
        (
            None,
            "Invalid input for field/attribute quota_class_set. Value: None. None is not of type "
            "'object'",
        ),
    ],
)
def test_what_is_no_limit_of_a_class_is_refused(api, body, words):
    answer = api.put(CLASS, {"quota_class_set": {"volumes": 5, **body} if body else body})
    assert message(answer) == (400, words)
    assert limits(api, CLASS) == DEFAULTS


def test_no_limits_are_no_change(api):
    answer = api.put(CLASS, {"quota_class_set": {}})
    assert (answer.status_code, answer.json) == (200, {"quota_class_set": DEFAULTS})


def test_unlimited_is_minus_one(api):
    api.put(CLASS, {"quota_class_set": {"backups": -1}})
    assert limits(api)["backups"] == -1


@pytest.mark.parametrize(("method", "rule"), [("GET", "get"), ("PUT", "update")])
def test_classes_are_for_admins(api, method, rule):
    body = {"quota_class_set": {"backups": 3}} if method == "PUT" else None
    assert message(api.request(method, CLASS, body, **MEMBER)) == (
        403,
        f"Policy doesn't allow volume_extension:quota_classes:{rule} to be performed.",
    )


def test_a_classes_name_has_an_end(api):
    path = f"/v3/os-quota-class-sets/{'x' * 256}"
    assert message(api.put(path, {"quota_class_set": {"backups": 3}})) == (
        400,
        "Invalid input received: quota_class_name has 256 characters, more than 255.",
    )


# What the limits do.


def over(api, path, root, **wanted):
    answer = api.post(path, {root: wanted})
    assert answer.headers["retry-after"] == "0"
    assert answer.json["overLimit"]["retryAfter"] == "0"
    return message(answer)


def test_a_backup_counts_against_its_projects_limits(api, rows):
    rows.service()
    volume = rows.volume(size=2)
    api.put(SET, {"quota_set": {"backups": 1, "backup_gigabytes": 2}})
    assert api.post("/v3/backups", {"backup": {"volume_id": volume}}).status_code == 202
    second = rows.volume(size=1)
    assert over(api, "/v3/backups", "backup", volume_id=second) == (
        413,
        "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes "
        "quota. Requested 1G, quota is 2G and 2G has been consumed.",
    )
    api.put(SET, {"quota_set": {"backup_gigabytes": 3}})
    assert over(api, "/v3/backups", "backup", volume_id=second) == (
        413,
        "BackupLimitExceeded: Maximum number of backups allowed (1) exceeded",
    )
    api.put(SET, {"quota_set": {"backups": -1}})
    assert api.post("/v3/backups", {"backup": {"volume_id": second}}).status_code == 202


def test_an_import_counts_against_its_projects_limits(api, rows):
    rows.service()
    record = api.get(f"/v3/backups/{rows.backup(project_id=OTHER)}/export_record").json
    content = json.loads(base64.b64decode(record["backup-record"]["backup_url"]))
    url = base64.b64encode(json.dumps(content | {"id": AN_ID}).encode()).decode()
    api.put(SET, {"quota_set": {"backups": 0}})
    wanted = record["backup-record"] | {"backup_url": url}
    assert over(api, "/v3/backups/import_record", "backup-record", **wanted) == (
        413,
        "BackupLimitExceeded: Maximum number of backups allowed (0) exceeded",
    )
    api.delete(SET)
    answer = api.post("/v3/backups/import_record", {"backup-record": wanted})
    assert answer.status_code == 201


def test_a_class_limits_backups(api, rows):
    rows.service()
    api.put(CLASS, {"quota_class_set": {"backups": 0}})
    assert over(api, "/v3/backups", "backup", volume_id=rows.volume())[1].endswith("(0) exceeded")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            {"per_volume_gigabytes": 2},
            "VolumeSizeExceedsLimit: Requested volume size 3G is larger than maximum allowed limit "
            "2G.",
        ),
        (
            {"volumes": 1, "volumes___DEFAULT__": 1},
            "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota "
            "'volumes'.",
        ),
        (
            {"volumes___DEFAULT__": 1},
            "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota "
            "'volumes___DEFAULT__'.",
        ),
        (
            {"gigabytes": 3, "volumes": 1},
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed "
            "gigabytes quota. Requested 3G, quota is 3G and 1G has been consumed.",
        ),
        (
            {"gigabytes___DEFAULT__": 3, "volumes": 1},
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed "
            "gigabytes___DEFAULT__ quota. Requested 3G, quota is 3G and 1G has been consumed.",
        ),
    ],
)
def test_a_volume_counts_against_all_that_limits_it(api, rows, limit, words):
    rows.volume(size=1)
    api.put(SET, {"quota_set": limit})
    assert over(api, "/v3/volumes", "volume", size=3) == (413, words)
    api.put(SET, {"quota_set": dict.fromkeys(limit, -1)})
    assert api.post("/v3/volumes", {"volume": {"size": 3}}).status_code == 202


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"snapshots": 1}, "Maximum number of snapshots allowed (1) exceeded"),
        ({"snapshots___DEFAULT__": 1}, "Maximum number of snapshots allowed (1) exceeded"),
    ],
)
def test_a_snapshot_counts_against_all_that_limits_it(api, rows, limit, words):
    volume = rows.volume(size=2)
    rows.snapshot(volume, size=2)
    api.put(SET, {"quota_set": limit})
    assert over(api, "/v3/snapshots", "snapshot", volume_id=volume) == (
        413,
        f"SnapshotLimitExceeded: {words}",
    )
    api.put(SET, {"quota_set": {**dict.fromkeys(limit, -1), "gigabytes": 5}})
    assert over(api, "/v3/snapshots", "snapshot", volume_id=volume)[1].endswith(
        "gigabytes quota. Requested 2G, quota is 5G and 4G has been consumed."
    )


def test_a_restore_to_a_new_volume_says_its_limit_without_a_name(api, rows):
    rows.service()
    backup = rows.backup(size=3)
    api.put(SET, {"quota_set": {"per_volume_gigabytes": 2}})
    assert over(api, f"/v3/backups/{backup}/restore", "restore") == (
        413,
        "Requested volume size 3G is larger than maximum allowed limit 2G.",
    )


@pytest.mark.parametrize("path", ["/v3/os-quota-sets", "/v3/os-quota-class-sets"])
def test_there_is_no_list_of_quotas(api, path):
    for method in ("GET", "POST"):
        answer = api.request(method, path, headers={"Accept": "text/html"})
        assert message(answer) == (404, "The resource could not be found.")
