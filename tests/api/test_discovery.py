"""Discovery: how a client finds out where the API is and which versions it speaks."""

import pytest

DOCUMENT = {
    "id": "v3.0",
    "status": "CURRENT",
    "version": "3.71",
    "min_version": "3.0",
    "updated": "2023-08-31T00:00:00Z",
    "links": [
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
        {"rel": "self", "href": "http://localhost:8776/v3/"},
    ],
    "media-types": [
        {
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=3",
        }
    ],
}


def self_link(answer):
    return answer.json["versions"][0]["links"][1]["href"]


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/v3/", 200)])
def test_the_version_document_is_a_list_and_needs_no_token(api, path, status):
    answer = api.get(path, token=None)
    assert answer.status_code == status
    assert answer.json == {"versions": [DOCUMENT]}
    assert answer.headers["content-type"] == "application/json"


def test_v3_redirects_to_its_document(api):
    answer = api.get("/v3")
    assert answer.status_code == 302
    assert answer.headers["location"] == "http://localhost:8776/v3/"
    assert answer.content == b""
    assert answer.headers["content-type"] == "text/plain; charset=utf8"


@pytest.mark.parametrize("version", ["3.9", "3.72", "2.0", "abc"])
def test_the_redirect_has_no_version(api, version):
    answer = api.get("/v3", version=version)
    assert answer.status_code == 302
    assert "openstack-api-version" not in answer.headers
    assert "x-compute-request-id" not in answer.headers
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("path", ["/", "/v3/"])
def test_nothing_can_be_posted_to_a_version_document(api, path):
    answer = api.post(path)
    assert answer.status_code == 400
    assert answer.json == {
        "badRequest": {
            "code": 400,
            "message": "The server could not comply with the request since it is either "
            "malformed or otherwise incorrect.",
        }
    }


@pytest.mark.parametrize("path", ["/", "/v3/"])
def test_the_version_documents_negotiate_too(api, path):
    answer = api.get(path, version="3.9")
    assert answer.headers["openstack-api-version"] == "volume 3.9"
    assert answer.headers["vary"] == "OpenStack-API-Version"
    assert api.get(path, version="3.72").status_code == 406


@pytest.mark.parametrize(
    ("settings", "headers", "base"),
    [
        ({}, {}, "http://localhost:8776"),
        ({}, {"X-Forwarded-Host": "first, backup.example"}, "http://backup.example"),
        ({}, {"X-Forwarded-Proto": "https"}, "http://localhost:8776"),
        ({}, {"X-Forwarded-Prefix": "/volume"}, "http://localhost:8776"),
        (
            {"enable_proxy_headers_parsing": True},
            {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/volume"},
            "https://localhost:8776/volume",
        ),
        (
            {"public_endpoint": "https://cloud.example/volume/"},
            {"X-Forwarded-Host": "other.example"},
            "https://cloud.example/volume",
        ),
    ],
)
def test_links_name_the_address_that_the_client_uses(make_api, settings, headers, base):
    assert self_link(make_api(**settings).get("/", headers=headers)) == f"{base}/v3/"
