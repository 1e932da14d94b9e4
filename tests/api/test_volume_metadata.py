"""The metadata of volumes and snapshots: all of it, and one key."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


@pytest.fixture(params=["volume", "snapshot"])
def thing(request, rows):
    """A volume or a snapshot with metadata: what it is called, its id and its path."""
    if request.param == "volume":
        its_id = rows.volume(metadata={"a": "1", "b": "2"})
    else:
        its_id = rows.snapshot(rows.volume(), metadata={"a": "1", "b": "2"})
    return request.param, its_id, f"/v3/{request.param}s/{its_id}/metadata"


def test_all_of_it_is_read_by_readers(api, thing):
    _, _, path = thing
    answer = api.get(path, **READER)
    assert (answer.status_code, answer.json) == (200, {"metadata": {"a": "1", "b": "2"}})
    assert answer.headers["Content-Type"] == "application/json"


def test_post_adds_and_put_replaces(api, thing):
    _, _, path = thing
    added = api.post(path, {"metadata": {"b": "3", "c": "4"}}, **MEMBER)
    assert (added.status_code, added.json) == (200, {"metadata": {"a": "1", "b": "3", "c": "4"}})
    replaced = api.put(path, {"metadata": {"d": "5"}}, **MEMBER)
    assert (replaced.status_code, replaced.json) == (200, {"metadata": {"d": "5"}})
    assert api.get(path).json == {"metadata": {"d": "5"}}
    assert api.put(path, {"metadata": {}}).json == {"metadata": {}}


def test_one_key_is_read_set_and_deleted(api, thing):
    _, _, path = thing
    assert api.get(f"{path}/a", **READER).json == {"meta": {"a": "1"}}
    answer = api.put(f"{path}/new", {"meta": {"new": "x"}}, **MEMBER)
    assert (answer.status_code, answer.json) == (200, {"meta": {"new": "x"}})
    gone = api.delete(f"{path}/a", **MEMBER)
    assert (gone.status_code, gone.content) == (200, b"")
    assert api.get(path).json == {"metadata": {"b": "2", "new": "x"}}


def test_an_unknown_key_is_not_found(api, thing):
    what, its_id, path = thing
    words = f"{what.capitalize()} {its_id} has no metadata with key x."
    assert fault(api.get(f"{path}/x")) == (404, words)
    assert fault(api.delete(f"{path}/x")) == (404, words)


def test_the_key_in_the_body_is_the_paths(api, thing):
    _, _, path = thing
    answer = api.put(f"{path}/a", {"meta": {"b": "x"}})
    assert fault(answer) == (400, "Request body and URI mismatch")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'metadata' is a required property"),
        ({"metadata": None}, "None is not of type 'object'"),
        ({"metadata": {"k": 1}}, "Invalid input for field/attribute k. Value: 1. 1 is not of type"),
        ({"metadata": {"k": None}}, "None is not of type 'string'"),
        ({"metadata": {"": "x"}}, "'' does not match any of the regexes"),
        ({"metadata": {"k": "v" * 256}}, "is too long"),
        ({"metadata": {"k" * 256: "v"}}, "does not match any of the regexes"),
    ],
)
def test_metadata_that_is_none(api, thing, body, words):
    _, _, path = thing
    for method in ("POST", "PUT"):
        code, said = fault(api.request(method, path, body))
        assert code == 400
        assert words in said


@pytest.mark.parametrize("meta", [None, {}, {"k": 1}, {"k": "v", "l": "w"}, {"k": "v" * 256}])
def test_one_key_that_is_none(api, thing, meta):
    _, _, path = thing
    assert fault(api.put(f"{path}/k", {"meta": meta}))[0] == 400


def test_what_else_the_body_has_is_refused_for_volumes_only(api, rows):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id)
    body = {"metadata": {"k": "v"}, "x": 1}
    assert fault(api.post(f"/v3/volumes/{volume_id}/metadata", body)) == (
        400, "Additional properties are not allowed ('x' was unexpected)"
    )  # fmt: skip
    assert api.post(f"/v3/snapshots/{snapshot_id}/metadata", body).status_code == 200


def test_a_slash_is_in_keys_of_volumes_only(api, rows):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id)
    body = {"metadata": {"a/b": "v"}}
    assert api.post(f"/v3/volumes/{volume_id}/metadata", body).status_code == 200
    assert api.post(f"/v3/snapshots/{snapshot_id}/metadata", body).status_code == 400


RULES = {
    "volume": ("create_volume_metadata", "update_volume_metadata", "delete_volume_metadata"),
    "snapshot": (
        "update_snapshot_metadata",
        "update_snapshot_metadata",
        "delete_snapshot_metadata",
    ),
}


def test_readers_change_nothing(api, thing):
    what, _, path = thing
    post, put, delete = RULES[what]
    for answer, rule in (
        (api.post(path, {"metadata": {}}, **READER), post),
        (api.put(path, {"metadata": {}}, **READER), put),
        (api.put(f"{path}/a", {"meta": {"a": "x"}}, **READER), put),
        (api.delete(f"{path}/a", **READER), delete),
    ):
        assert fault(answer) == (403, f"Policy doesn't allow volume:{rule} to be performed.")
    assert api.get(path).json == {"metadata": {"a": "1", "b": "2"}}


def test_without_a_role_a_volume_is_unknown_and_a_snapshot_forbidden(api, rows):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id)
    assert fault(api.get(f"/v3/volumes/{volume_id}/metadata", roles="someone")) == (
        404, f"Volume {volume_id} could not be found."
    )  # fmt: skip
    assert fault(api.get(f"/v3/snapshots/{snapshot_id}/metadata", roles="someone")) == (
        403, "Policy doesn't allow volume:get_snapshot to be performed."
    )  # fmt: skip


@pytest.mark.parametrize("what", ["volume", "snapshot"])
def test_what_is_not_there_has_no_metadata(api, rows, what):
    foreign = rows.volume(project_id="another")
    if what == "snapshot":
        foreign = rows.snapshot(foreign, project_id="another")
    for its_id in (AN_ID, foreign):
        path = f"/v3/{what}s/{its_id}/metadata"
        missing = (404, f"{what.capitalize()} {its_id} could not be found.")
        assert fault(api.get(path, **MEMBER)) == missing
        assert fault(api.get(f"{path}/k", **MEMBER)) == missing
        assert fault(api.post(path, {"metadata": {}}, **MEMBER)) == missing
        assert fault(api.put(path, {"metadata": {}}, **MEMBER)) == missing
        assert fault(api.put(f"{path}/k", {"meta": {"k": "v"}}, **MEMBER)) == missing
        assert fault(api.delete(f"{path}/k", **MEMBER)) == missing


@pytest.mark.parametrize("status", ["maintenance", "uploading"])
def test_some_volumes_keep_their_metadata(api, rows, status):
    path = f"/v3/volumes/{rows.volume(status=status, metadata={'k': 'v'})}/metadata"
    words = f"volume metadata is not allowed for volumes in {status} status."
    for answer, doing in (
        (api.post(path, {"metadata": {"a": "b"}}), "Updating"),
        (api.put(path, {"metadata": {}}), "Updating"),
        (api.put(f"{path}/k", {"meta": {"k": "w"}}), "Updating"),
        (api.delete(f"{path}/k"), "Deleting"),
    ):
        assert fault(answer) == (400, f"Invalid volume: {doing} {words}")


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_the_collection_has_no_other_verbs(api, thing, method):
    _, _, path = thing
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        404,
        "text/plain; charset=UTF-8",
    )
