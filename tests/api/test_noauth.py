"""Without Keystone a client says who it is: `X-Auth-Token: <user>:<project>` and `X-Roles`."""

import pytest

from emberkeep.api.routes import all_routes

PATH = "/v3/backups/new"
OPEN = {"/", "/v3", "/v3/"}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": ""}])
def test_without_a_token_the_answer_is_empty_and_names_one(api, headers):
    answer = api.get("/v3/backups", token=None, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-auth-token"] == "admin:admin"
    assert answer.headers["x-server-management-url"] == "http://localhost:8776/v3/backups"


def test_every_path_but_discovery_needs_a_token(api):
    paths = {route.path for route in all_routes()}
    answers = {
        path: {api.request(method, path, token=None).status_code for method in METHODS}
        for path in paths - OPEN
    }
    assert {path for path, statuses in answers.items() if statuses != {204}} == set()


def test_the_project_in_the_path_must_be_the_tokens(api):
    answer = api.get("/v3/abc/backups/new", token="ada:def")
    assert answer.json == {"badRequest": {"code": 400, "message": "Malformed request url"}}
    assert api.get("/v3/def/backups/new", token="ada:def").status_code == 404


def test_a_token_without_a_colon_is_user_and_project(api):
    assert api.get("/v3/abc/backups/new", token="abc").status_code == 404
    assert api.get("/v3/def/backups/new", token="abc").status_code == 400


def test_an_id_that_no_table_can_hold_is_refused(api):
    assert api.get(PATH, token="x" * 256).status_code == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8776", 404),
        ("LOCALHOST", 404),
        ("127.0.0.1:8776", 404),
        ("[::1]:8776", 404),
        ("127.0.0.2:8776", 404),
        ("192.0.2.1:8776", 403),
        ("127.0.0.1.rebound.example", 403),
        ("backups.example", 404),
        ("rebound.example:8776", 403),
        ("localhost.rebound.example", 403),
        ("localhost@rebound.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_on_loopback_a_foreign_host_is_refused(make_api, host, status):
    api = make_api(loopback_only=True, public_endpoint="https://backups.example/volume")
    assert api.get(PATH, headers={"Host": host}).status_code == status
    discovery = api.get("/v3/", headers={"Host": host}).status_code
    assert discovery == (403 if status == 403 else 200)


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_web_page_of_another_origin_is_let_in(api, method):
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    answer = api.request(method, PATH, headers=origin)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("roles", "is_admin"), [("admin", True), ("Admin", False), ("", False)])
def test_only_the_role_of_that_name_makes_an_admin(api, rows, roles, is_admin):
    foreign = rows.backup(project_id="another")
    shown = api.get(f"/v3/backups/{foreign}", roles=roles).status_code
    assert shown == (200 if is_admin else 404)
