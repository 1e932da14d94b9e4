"""Microversions: `OpenStack-API-Version: volume X.Y` asks, the same header answers."""

import pytest

GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)
PATH = "/v3/backups/new"  # a route of every resource that says 404 whatever the version is


def ask(api, header):
    headers = {} if header is None else {"OpenStack-API-Version": header}
    return api.get(PATH, version=None, headers=headers)


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        (None, "3.0"),
        ("volume 3.0", "3.0"),
        ("volume 3.45", "3.45"),
        ("volumev3 3.45", "3.45"),
        ("volume latest", "3.71"),
        ("volume 3.71", "3.71"),
        ("compute 2.1, volume 3.9", "3.9"),
        ("volume 3.9, volume 3.10", "3.9"),
        ("  volume    3.9  ,compute 2.1", "3.9"),
    ],
)
def test_the_answer_names_the_version_that_was_applied(api, header, applied):
    answer = ask(api, header)
    assert answer.status_code == 404
    assert answer.headers["openstack-api-version"] == f"volume {applied}"
    assert answer.headers["vary"] == "OpenStack-API-Version"


@pytest.mark.parametrize("version", ["abc", "3", "3.01", "3.4.5", "LATEST", "0.1", "3.9x", "-3.1"])
def test_a_version_of_another_form_is_a_bad_request(api, version):
    answer = ask(api, f"volume {version}")
    assert answer.json["badRequest"]["message"] == (
        f"API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum."
    )
    assert "openstack-api-version" not in answer.headers
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "header", ["", "3.9", "VOLUME 3.9", "compute 2.1", "volume", "volume 3.9 3.10"]
)
def test_a_header_that_names_no_version_of_volume_is_a_bad_request(api, header):
    answer = ask(api, header)
    assert answer.status_code == 400
    assert answer.json == {"badRequest": {"code": 400, "message": GENERIC}}


@pytest.mark.parametrize(
    ("version", "shown"),
    [("3.72", "volume 3.72"), ("4.0", "volume 4.0"), ("2.9", None), ("3." + "9" * 5000, ...)],
)
def test_a_version_that_is_not_ours_is_not_acceptable(api, version, shown):
    answer = ask(api, f"volume {version}")
    assert answer.status_code == 406
    assert answer.json == {
        "computeFault": {
            "code": 406,
            "message": f"Version {version} is not supported by the API. "
            "Minimum is 3.0 and maximum is 3.71.",
        }
    }
    if shown is not ...:
        assert answer.headers.get("openstack-api-version") == shown
        assert answer.headers.get("vary") == (shown and "OpenStack-API-Version")


def test_the_header_of_an_older_api_is_ignored(api):
    answer = api.get(PATH, version=None, headers={"X-OpenStack-Volume-API-Version": "3.9"})
    assert answer.headers["openstack-api-version"] == "volume 3.0"


OWN = "application/vnd.openstack.volume+json"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (OWN, OWN),
        (OWN.upper(), OWN),
        (f"text/html, {OWN}", OWN),
        ("application/json;q=0.2, */*;q=0.5", OWN),
        (f"{OWN};q=0.5, application/json", "application/json"),
        (f"{OWN}, application/json", "application/json"),
        (f"{OWN};q=0", "application/json"),
        (f"{OWN};version=3", "application/json"),
        ("text/html", "application/json"),
        ("*/*", "application/json"),
        ("nonsense", "application/json"),
    ],
)
def test_the_media_type_of_the_volume_api_is_echoed(api, accept, content_type):
    assert api.get("/v3/", headers={"Accept": accept}).headers["content-type"] == content_type
