"""Of several things that are wrong with a request, the first in Cinder's order is told."""

import json

import pytest

PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)
WELL = {
    "method": "PUT",
    "path": f"/v3/{PROJECT}/backups/{AN_ID}",
    "version": "3.9",
    "content_type": "application/json",
    "raw": b'{"backup": {}}',
    "roles": "reader",
}
NO_ROUTE = {"path": f"/v3/{PROJECT}/nowhere"}
NO_VERSION = {"version": "9.9"}
ODD_VERSION = {"version": "abc"}
NO_TYPE = {"content_type": "text/plain"}
NO_JSON = {"raw": b"{"}
OTHER_PROJECT = {"path": f"/v3/abc/backups/{AN_ID}"}
TOO_EARLY = {"version": "3.8"}
NO_SCHEMA = {"raw": b'{"backup": {"x": 1}}'}
TOO_LARGE = {"raw": b" " * 114689}


def told(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def send(api, *problems):
    asked = dict(WELL)
    for problem in reversed(problems):
        asked |= problem
    return api.request(
        asked["method"],
        asked["path"],
        raw=asked["raw"],
        headers={"Content-Type": asked["content_type"], "Accept": "application/json"},
        version=asked["version"],
        roles=asked["roles"],
    )


@pytest.mark.parametrize(
    ("problems", "code", "words"),
    [
        ((NO_VERSION, NO_TYPE, NO_JSON, OTHER_PROJECT), 406, "Version 9.9 is not supported"),
        ((ODD_VERSION, NO_TYPE, NO_JSON, OTHER_PROJECT), 400, "API Version String abc is of"),
        ((NO_TYPE, NO_JSON, OTHER_PROJECT, TOO_EARLY), 415, "Unsupported Content-Type"),
        ((NO_JSON, OTHER_PROJECT, TOO_EARLY), 400, "Malformed request body"),
        ((OTHER_PROJECT, TOO_EARLY, NO_SCHEMA), 400, "Malformed request url"),
        ((TOO_EARLY, NO_SCHEMA), 404, "The resource could not be found."),
        ((NO_SCHEMA,), 400, "Invalid input for field/attribute backup."),
        ((), 404, f"Backup {AN_ID} could not be found."),
    ],
)
def test_each_step_may_end_the_request(api, problems, code, words):
    status, message = told(send(api, *problems))
    assert (status, message[: len(words)]) == (code, words)


@pytest.mark.parametrize("problem", [NO_VERSION, NO_TYPE, NO_JSON, NO_SCHEMA])
def test_an_unknown_route_is_unknown_whatever_is_sent_to_it(api, problem):
    answer = send(api, NO_ROUTE, problem)
    assert (answer.status_code, answer.json["title"]) == (404, "Not Found")


def test_a_large_body_is_refused_before_all_that(api):
    answer = send(api, TOO_LARGE, NO_ROUTE, NO_VERSION, NO_TYPE)
    assert (answer.status_code, answer.json["title"]) == (413, "Request Entity Too Large")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "There is no such action: None. "),
        (b"{}", "Malformed request body"),
        (b"{", "Malformed request body"),
        (b'{"os-extend": 1}', "There is no such action: os-extend. "),
        (b'{"os-reset_status": 1}', "Malformed request url"),
    ],
)
def test_an_action_is_looked_up_before_the_project_is_compared(api, raw, words):
    problem = {"method": "POST", "path": f"/v3/abc/backups/{AN_ID}/action", "raw": raw}
    status, message = told(send(api, problem))
    assert (status, message[: len(words)]) == (400, words)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"os-reset_status": {"status": "x"}}', "Backup status: x is invalid, "),
        (b'{"os-reset_status": {}}', "Invalid input for field/attribute os-reset_status."),
    ],
)
def test_what_an_action_says_is_checked_before_anything_is_looked_up(api, raw, words):
    problem = {"method": "POST", "path": f"/v3/backups/{AN_ID}/action", "raw": raw}
    status, message = told(send(api, problem))
    assert (status, message[: len(words)]) == (400, words)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"null", "None is not of type 'object'"),
        (b"[]", "[] is not of type 'object'"),
        (b"1", "1 is not of type 'object'"),
        (b'"x"', "'x' is not of type 'object'"),
        (b"\xff", "Malformed request body"),
        (b'\xef\xbb\xbf{"backup": {}}', "Malformed request body"),
        (b'{"backup": {}}x', "Malformed request body"),
        (b'{"backup": 1, "backup": {"x": 1}}', "Invalid input for field/attribute backup."),
        (b'{"backup": {"name": "\\u0000", "x": 1}}', "Invalid input for field/attribute backup."),
        (b'{"backup": {"name": "\\u0000"}}', "Malformed request body"),
        (b'{"backup": {"name": "\\ud800"}}', "Malformed request body"),
    ],
)
def test_what_a_body_has_to_be(api, raw, words):
    status, message = told(send(api, {"raw": raw}))
    assert (status, message[: len(words)]) == (400, words)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_a_body_where_none_belongs_is_ignored(api, method, content_type):
    problem = {"method": method, "raw": b"{", "content_type": content_type}
    assert told(send(api, problem)) == (404, f"Backup {AN_ID} could not be found.")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v3/backups", "POST"),
        (f"/v3/backups/{AN_ID}", "PUT"),
        (f"/v3/backups/{AN_ID}/restore", "POST"),
        ("/v3/backups/import_record", "POST"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}])
def test_no_body_where_one_belongs_is_a_bad_request(api, method, path, headers):
    answer = api.request(method, path, headers=headers)
    assert told(answer) == (400, "None is not of type 'object'")


@pytest.mark.parametrize(
    ("version", "shown"), [("3.0", "volume 3.0"), ("3.71", "volume 3.71"), (None, "volume 3.0")]
)
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"method": "GET", "path": "/v3/backups"}, 200),
        ({"method": "GET", "path": "/v3/backups", "roles": "nobody"}, 403),
        ({"method": "GET", "path": f"/v3/backups/{AN_ID}"}, 404),
        ({"method": "GET", "path": "/v3/abc/backups"}, 400),
        ({"method": "DELETE", "path": "/v3/backups/{made}"}, 202),
        ({"method": "POST", "path": "/v3/backups", "body": {"backup": {"volume_id": "{v}"}}}, 202),
        (
            {"method": "POST", "path": "/v3/backups/{made}/restore", "body": {"restore": {}}},
            202,
        ),
        (
            {
                "method": "POST",
                "path": "/v3/backups/{made}/action",
                "body": {"os-reset_status": {"status": "error"}},
            },
            202,
        ),
    ],
)
def test_a_controllers_answer_has_its_headers(api, rows, how, code, version, shown):
    rows.service()
    ids = {"made": rows.backup(), "v": rows.volume()}
    body = json.dumps(how.get("body", {})).replace("{v}", ids["v"])
    answer = api.request(
        how["method"],
        how["path"].format(**ids),
        json.loads(body) if "body" in how else None,
        roles=how.get("roles"),
        version=version,
    )
    assert answer.status_code == code, answer.text
    headers = answer.headers
    assert headers["openstack-api-version"] == shown
    assert headers["vary"] == "OpenStack-API-Version"
    assert headers["content-type"] == "application/json"
    assert headers["x-compute-request-id"] == headers["x-openstack-request-id"]
    assert headers["x-compute-request-id"].startswith("req-")


def test_a_callers_request_id_is_not_taken_over(api):
    asked = {"X-Openstack-Request-Id": f"req-{AN_ID}", "X-Compute-Request-Id": f"req-{AN_ID}"}
    first, second = api.get("/v3/backups", headers=asked), api.get("/v3/backups", headers=asked)
    ids = {answer.headers["x-openstack-request-id"] for answer in (first, second)}
    assert len(ids) == 2
    assert f"req-{AN_ID}" not in ids


def test_a_body_of_a_type_that_is_none_is_a_bad_request(api):
    assert told(send(api, {"content_type": ""})) == (400, GENERIC)


@pytest.mark.parametrize("resource", ["volumes", "snapshots"])
def test_some_deletions_answer_with_less(api, rows, resource):
    rows.service(binary="cinder-volume", repository=None)
    volume = rows.volume()
    thing = volume if resource == "volumes" else rows.snapshot(volume)
    answer = api.delete(f"/v3/{resource}/{thing}")
    assert (answer.status_code, answer.content) == (202, b"")
    assert "x-compute-request-id" not in answer.headers
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.headers["openstack-api-version"] == "volume 3.71"
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
