"""What is no route: 404 without an envelope, in the form that the client accepts."""

import pytest

PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PAGE = {
    "message": "The resource could not be found.<br /><br />\n\n\n",
    "code": "404 Not Found",
    "title": "Not Found",
}
JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/backups"),
        ("GET", "/v3.0"),
        ("GET", "/favicon.ico"),
        ("GET", "/v3/groups"),
        ("GET", f"/v3/{PROJECT}"),
        ("GET", "/v3/not_a_project/backups"),
        ("GET", "/v3/backups/"),
        ("GET", "/v3/backups.xml"),
        ("GET", "/v3/backups/.json"),
        ("GET", f"/v3/backups/{AN_ID}/export_record.xml"),
        ("PATCH", "/v3/backups"),
        ("PUT", "/v3/backups"),
        ("DELETE", "/v3/backups"),
        ("POST", f"/v3/backups/{AN_ID}"),
        ("PATCH", f"/v3/backups/{AN_ID}"),
        ("GET", f"/v3/backups/{AN_ID}/restore"),
        ("GET", f"/v3/backups/{AN_ID}/action"),
        ("POST", f"/v3/backups/{AN_ID}/export_record"),
        ("POST", "/v3/backups/export_record"),
        ("DELETE", f"/v3/backups/{AN_ID}/metadata/key"),
        ("TRACE", "/v3/backups"),
    ],
)
def test_an_unknown_path_or_method_is_no_fault(api, method, path):
    answer = api.request(method, path, headers=JSON, version="9.9")
    assert (answer.status_code, answer.json) == (404, PAGE)
    assert "openstack-api-version" not in answer.headers
    assert "x-compute-request-id" not in answer.headers
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; charset=UTF-8"),
        ("text/plain", "text/plain; charset=UTF-8"),
        ("image/png", "text/plain; charset=UTF-8"),
        ("application/json;q=0", "text/plain; charset=UTF-8"),
        ("text/html", "text/html; charset=UTF-8"),
        ("*/*", "text/html; charset=UTF-8"),
        ("application/json;q=0.2, */*;q=0.5", "text/html; charset=UTF-8"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        # a reader that tried all the ways to share out these blanks would never end
        ("text/html" + ";x=   " * 100 + ";", "text/html; charset=UTF-8"),
        ("application/*", "application/json"),
        ("application/json;q=0.5, text/html;q=0.4", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/json; charset=utf-8", "text/plain; charset=UTF-8"),
        ("text/html;level=1", "text/plain; charset=UTF-8"),
        ("nonsense", "text/html; charset=UTF-8"),
        ("application/json;q=x", "text/html; charset=UTF-8"),
    ],
)
def test_the_form_follows_what_the_client_accepts(api, accept, content_type):
    answer = api.get("/v2", headers={"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == content_type
    assert "The resource could not be found." in answer.text


def test_the_plain_form_is_the_status_and_a_sentence(api):
    words = api.get("/v2").text
    assert words == "404 Not Found\n\nThe resource could not be found.\n\n   "


def test_the_html_form_is_a_page(api):
    page = api.get("/v2", headers={"Accept": "*/*"}).text
    assert page == (
        "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n"
        "  <h1>404 Not Found</h1>\n  The resource could not be found.<br /><br />\n\n\n\n"
        " </body>\n</html>"
    )


@pytest.mark.parametrize("path", ["/", "/v3/", "/v3/backups", "/nowhere"])
def test_head_is_not_found_and_options_is_empty(api, path):
    head, options = api.request("HEAD", path), api.request("OPTIONS", path)
    assert (head.status_code, head.content) == (404, b"")
    assert head.headers["content-type"] == "text/html; charset=UTF-8"
    assert (options.status_code, options.content) == (200, b"")
    assert not [name for name in options.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v3/backups/new"),
        ("GET", f"/v3/{PROJECT}/backups/new.json"),
        ("GET", f"/v3/backups/{AN_ID}/edit"),
        ("POST", "/v3/os-availability-zone"),
        ("GET", "/v3/os-availability-zone/detail"),
        ("DELETE", f"/v3/limits/{AN_ID}"),
    ],
)
def test_what_a_resource_does_not_implement_is_a_fault(api, method, path):
    answer = api.request(method, path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.json == {
        "itemNotFound": {"code": 404, "message": "The resource could not be found."}
    }
    assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]


def test_a_large_body_is_refused_before_anything_else(api):
    answer = api.request("POST", "/v3/nowhere", raw=b"x" * 114689, headers=JSON, token=None)
    assert answer.status_code == 413
    assert answer.json == {
        "message": "Request is too large. Larger than max_request_body_size (%s)."
        "<br /><br />\n\n\n",
        "code": "413 Request Entity Too Large",
        "title": "Request Entity Too Large",
    }
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("path_id", "told"),
    [
        ("db.2026", "db.2026"),
        ("nightly.", "nightly."),
        ("nightly.xml", "nightly.xml"),
        ("nightly.json", "nightly"),
        ("nightly.json.json", "nightly.json"),
        (f"{AN_ID}.JSON", f"{AN_ID}.JSON"),
        ("detail.xml", "detail.xml"),
        (AN_ID.replace("-", ""), AN_ID.replace("-", "")),
    ],
)
def test_any_string_in_an_ids_place_is_an_id(api, path_id, told):
    answer = api.get(f"/v3/backups/{path_id}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.json["itemNotFound"]["message"] == f"Backup {told} could not be found."


@pytest.mark.parametrize(
    ("method", "path_id"), [("GET", "import_record"), ("PUT", "detail"), ("DELETE", "new")]
)
def test_what_is_no_route_of_its_own_is_an_id(api, method, path_id):
    body = {"backup": {}} if method == "PUT" else None
    answer = api.request(method, f"/v3/backups/{path_id}", body)
    assert answer.status_code == 404
    assert answer.json["itemNotFound"]["message"] == f"Backup {path_id} could not be found."
