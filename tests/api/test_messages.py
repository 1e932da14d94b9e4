"""Messages to users: the list, one of them, and deletion."""

from datetime import datetime

import pytest

PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
OTHER = "b" * 32
AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}
NOBODY = {"roles": "someone"}
GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def ids(api, query="", **how):
    answer = api.get(f"/v3/messages{query}", **how)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json["messages"]]


def test_a_message_says_what_failed_and_why(api, rows):
    one = rows.message(resource_uuid=AN_ID, request_id="req-7")
    expected = {
        "id": one,
        "event_id": "VOLUME_VOLUME_BACKUP_013_020",
        "user_message": "create backup:Backup driver failed to create backup.",
        "message_level": "ERROR",
        "created_at": "2026-01-01T00:00:00.000000",
        "guaranteed_until": "2100-01-01T00:00:00.000000",
        "request_id": "req-7",
        "links": [
            {"rel": "self", "href": f"http://localhost:8776/v3/messages/{one}"},
            {"rel": "bookmark", "href": f"http://localhost:8776/messages/{one}"},
        ],
        "resource_type": "VOLUME_BACKUP",
        "resource_uuid": AN_ID,
    }
    answer = api.get(f"/v3/messages/{one}", **READER)
    assert (answer.status_code, list(answer.json["message"].items())) == (
        200,
        list(expected.items()),
    )
    assert api.get("/v3/messages", **READER).json == {"messages": [expected]}


def test_links_follow_the_url(api, rows):
    rows.message()
    (shown,) = api.get(f"/v3/{PROJECT}/messages").json["messages"]
    assert shown["links"][0]["href"].startswith(f"http://localhost:8776/v3/{PROJECT}/messages/")


def test_what_a_message_is_about_may_be_missing(api, rows):
    one = rows.message(resource_type=None, resource_uuid=None)
    shown = api.get(f"/v3/messages/{one}").json["message"]
    assert not {"resource_type", "resource_uuid"} & set(shown)


@pytest.mark.parametrize(
    ("action", "detail", "text"),
    [
        ("013", "017", "create backup:Backup status is invalid."),
        ("013", "018", "create backup:Backup service is down."),
        ("013", "021", "create backup:Failed to attach volume."),
        ("013", "022", "create backup:Failed to detach volume."),
        ("013", "023", "create backup:Cleanup of temporary volume/snapshot failed."),
        (
            "013",
            "024",
            "create backup:Backup failed to schedule. Service not found for creating backup.",
        ),
        ("014", "025", "delete backup:Backup driver failed to delete backup."),
        ("015", "026", "restore backup:Backup driver failed to restore backup."),
        ("015", "027", "restore backup:Volume status is invalid."),
        ("999", "999", "unknown action:An unknown error occurred."),
    ],
)
def test_the_texts_are_cinders(api, rows, action, detail, text):
    one = rows.message(action_id=action, detail_id=detail)
    assert api.get(f"/v3/messages/{one}").json["message"]["user_message"] == text


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["", f"/{AN_ID}"])
def test_messages_came_with_3_3(api, rows, method, path):
    rows.message(id=AN_ID)
    answer = api.request(method, f"/v3/messages{path}", version="3.2")
    if method == "DELETE" and not path:
        assert (answer.status_code, answer.headers["content-type"][:10]) == (404, "text/plain")
    else:
        assert message(answer) == (404, "The resource could not be found.")
        assert api.get(f"/v3/messages{path}", version="3.3").status_code == 200


def test_the_list_is_the_own_projects_for_an_admin_too(api, rows):
    mine = rows.message()
    rows.message(project_id=OTHER)
    assert ids(api) == ids(api, **MEMBER) == [mine]
    assert ids(api, "?project_id=" + OTHER) == []


def test_another_projects_message_is_not_found_but_by_an_admin(api, rows):
    other = rows.message(project_id=OTHER)
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/v3/messages/{other}", **MEMBER)
        assert message(answer) == (404, f"Message {other} could not be found.")
    assert api.get(f"/v3/messages/{other}").status_code == 200
    assert api.delete(f"/v3/messages/{other}").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "who", "rule"),
    [
        ("GET", "", NOBODY, "get_all"),
        ("GET", f"/{AN_ID}", NOBODY, "get"),
        ("DELETE", f"/{AN_ID}", READER, "delete"),
    ],
)
def test_messages_are_for_readers_and_deleted_by_members(api, rows, method, path, who, rule):
    rows.message(id=AN_ID)
    assert message(api.request(method, f"/v3/messages{path}", **who)) == (
        403,
        f"Policy doesn't allow message:{rule} to be performed.",
    )
    assert api.get(f"/v3/messages/{AN_ID}").status_code == 200


def test_a_deleted_message_is_gone(api, rows):
    one, other = rows.message(), rows.message()
    answer = api.delete(f"/v3/messages/{one}", **MEMBER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert ids(api) == [other]
    for method in ("GET", "DELETE"):
        assert message(api.request(method, f"/v3/messages/{one}")) == (
            404,
            f"Message {one} could not be found.",
        )


def test_an_expired_message_is_gone(api, rows):
    one = rows.message(expires_at=datetime(2026, 1, 2))
    assert ids(api) == []
    assert api.get(f"/v3/messages/{one}").status_code == 404


@pytest.mark.parametrize("name", ["detail", "x"])
def test_an_unknown_message_is_not_found(api, name):
    assert message(api.get(f"/v3/messages/{name}")) == (404, f"Message {name} could not be found.")


def test_no_message_can_be_made(api):
    assert message(api.post("/v3/messages", {})) == (404, "The resource could not be found.")


# Pages, sorting and filters.


@pytest.fixture
def three(rows):
    """Three messages, the newest last."""
    return [
        rows.message(resource_uuid="b", detail_id="020", request_id="req-1"),
        rows.message(resource_uuid="c", detail_id="017", request_id="req-2"),
        rows.message(resource_uuid="a", detail_id="020", request_id="req-1"),
    ]


def test_the_newest_comes_first(api, three):
    assert ids(api) == ids(api, version="3.3") == three[::-1]


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("sort=resource_uuid:asc", (2, 0, 1)),
        ("sort=detail_id:asc,created_at:asc", (1, 0, 2)),
        ("sort_key=resource_uuid&sort_dir=desc", (1, 0, 2)),
        ("sort=expires_at", (2, 1, 0)),
    ],
)
def test_lists_are_sorted_from_3_5_on(api, three, query, order):
    assert ids(api, f"?{query}") == [three[at] for at in order]
    assert ids(api, f"?{query}", version="3.4") == three[::-1]


def test_a_list_is_read_in_pages(api, three):
    first = api.get("/v3/messages?limit=2", version="3.5").json
    assert [one["id"] for one in first["messages"]] == [three[2], three[1]]
    ((link),) = first["messages_links"]
    assert link == {
        "rel": "next",
        "href": f"http://localhost:8776/v3/messages?limit=2&marker={three[1]}",
    }
    last = api.get(link["href"].partition("8776")[2]).json
    assert [one["id"] for one in last["messages"]] == [three[0]]
    assert "messages_links" not in last
    assert ids(api, "?offset=1&limit=1") == [three[1]]
    assert ids(api, "?limit=0") == []


def test_before_3_5_there_are_no_pages_but_the_link_to_one(api, three):
    answer = api.get("/v3/messages?limit=1&offset=x&nonsense=1", version="3.4").json
    assert len(answer["messages"]) == 3
    assert answer["messages_links"][0]["href"].endswith(f"&marker={three[0]}")
    refused = api.get("/v3/messages?limit=x", version="3.4")
    assert message(refused) == (400, "limit param must be an integer")


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("resource_uuid=b", 1),
        ("resource_type=VOLUME_BACKUP", 3),
        ("event_id=VOLUME_VOLUME_BACKUP_013_020", 2),
        ("request_id=req-1", 2),
        ("message_level=ERROR", 3),
        ("message_level=error", 0),
        ("request_id=req-1&resource_uuid=a", 1),
    ],
)
@pytest.mark.parametrize(("version", "who"), [("3.5", {}), ("3.31", MEMBER), ("3.71", {})])
def test_messages_can_be_picked(api, three, query, number, version, who):
    assert len(ids(api, f"?{query}", version=version, **who)) == number


@pytest.mark.parametrize("name", ["nonsense", "all_tenants", "with_count", "user_message"])
def test_an_unknown_filter_is_an_empty_list_or_is_refused(api, three, name):
    query = f"?{name}=1"
    assert ids(api, query, version="3.30") == ids(api, query, version="3.30", **MEMBER) == []
    assert ids(api, query) == []
    if name == "all_tenants":
        assert ids(api, query, **MEMBER) == three[::-1]
    else:
        assert message(api.get(f"/v3/messages{query}", **MEMBER)) == (
            400,
            f"Invalid filters {name} are found in query options.",
        )


def test_filters_that_look_for_a_part_must_be_configured_for_members(api, make_api, three):
    assert ids(api, "?request_id~=eq-1") == [three[2], three[0]]
    query = "/v3/messages?request_id~=eq-1"
    assert message(api.get(query, **MEMBER))[0] == 400
    other = make_api(filters={"message": ("request_id~",)})
    assert ids(other, "?request_id~=eq-1", **MEMBER) == [three[2], three[0]]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("marker=x", 404, "Message x could not be found."),
        ("marker=x&sort=nonsense", 404, "Message x could not be found."),
        ("sort=nonsense", 400, "Invalid input received: Invalid sort key"),
        ("sort=user_message", 400, "Invalid input received: Invalid sort key"),
        (
            "sort=id:up&nonsense=1",
            400,
            "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.",
        ),
        ("request_id=a&request_id=b&marker=x", 400, GENERIC),
        ("limit=x", 400, "limit param must be an integer"),
        ("offset=x", 400, "offset must be an integer"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_cinders_order(api, query, status, words):
    assert message(api.get(f"/v3/messages?{query}")) == (status, words)


def test_an_unknown_filter_hides_a_wrong_marker(api):
    assert ids(api, "?nonsense=1&marker=x") == []


# What writes them.


def test_a_backup_without_a_service_is_told_to_its_project(api, rows):
    answer = api.post("/v3/backups", {"backup": {"volume_id": rows.volume()}}, **MEMBER)
    (shown,) = api.get("/v3/messages", **MEMBER).json["messages"]
    assert (shown["event_id"], shown["resource_uuid"], shown["request_id"]) == (
        "VOLUME_VOLUME_BACKUP_013_024",
        answer.json["backup"]["id"],
        answer.headers["x-openstack-request-id"],
    )
