"""Volume types: GET /types, one of them, and the default one."""

import pytest

from emberkeep.volumes.types import DEFAULT

ADMIN = {
    "id": DEFAULT.id,
    "name": "__DEFAULT__",
    "is_public": True,
    "description": "Default Volume Type",
    "extra_specs": {},
    "qos_specs_id": None,
    "os-volume-type-access:is_public": True,
}
MEMBER = {key: value for key, value in ADMIN.items() if key != "qos_specs_id"}
READER = {key: value for key, value in MEMBER.items() if not key.startswith("os-")}


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


@pytest.mark.parametrize(
    ("roles", "shown"), [(None, ADMIN), ("member,reader", MEMBER), ("reader", READER)]
)
def test_what_is_shown_depends_on_the_role(api, roles, shown):
    answer = api.get("/v3/types", roles=roles)
    assert (answer.status_code, answer.json) == (200, {"volume_types": [shown]})
    one = api.get(f"/v3/types/{DEFAULT.id}", roles=roles).json["volume_type"]
    assert list(one.items()) == list(shown.items())
    default = api.get("/v3/types/default", roles=roles).json["volume_type"]
    assert default == {key: value for key, value in shown.items() if not key.startswith("os-")}


@pytest.mark.parametrize(
    "name", ["__DEFAULT__", "x", "detail", "5e851e08-3d6f-46cf-8343-71edee572"]
)
def test_a_type_is_found_by_its_id_only(api, name):
    answer = api.get(f"/v3/types/{name}")
    assert message(answer) == (404, f"Volume type {name} could not be found.")


@pytest.mark.parametrize(
    ("path", "rule"),
    [("", "type_get_all"), ("/default", "type_get"), (f"/{DEFAULT.id}", "type_get")],
)
def test_who_has_no_role_sees_no_types(api, path, rule):
    assert message(api.get(f"/v3/types{path}", roles="someone")) == (
        403,
        f"Policy doesn't allow volume_extension:{rule} to be performed.",
    )


def test_an_unknown_type_is_not_found_whoever_asks(api):
    assert api.get("/v3/types/x", roles="someone").status_code == 404


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("is_public=true", 1),
        ("is_public=None", 1),
        ("is_public=false", 0),
        ("name=__DEFAULT__", 1),
        ("name=x", 0),
        (f"id={DEFAULT.id}", 1),
        ("description=Default%20Volume%20Type", 1),
        ("nonsense=1", 0),
        ("extra_specs=%7B'a':'b'%7D", 0),
        ("limit=0", 0),
        ("offset=1", 0),
        ("marker=x", 1),
        (f"marker={DEFAULT.id}", 0),
        ("sort=name:asc,id", 1),
    ],
)
def test_an_admin_filters_and_pages(api, query, number):
    answer = api.get(f"/v3/types?{query}")
    assert (answer.status_code, len(answer.json["volume_types"])) == (200, number)
    assert "volume_type_links" not in answer.json


def test_a_full_page_links_to_the_next(api):
    links = api.get("/v3/types?limit=1").json["volume_type_links"]
    marker = f"limit=1&marker={DEFAULT.id}"
    assert links == [{"rel": "next", "href": f"http://localhost:8776/v3/types?{marker}"}]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("is_public=x", "Invalid is_public filter [x]"),
        ("is_public=", "Invalid is_public filter []"),
        (
            "name=x&name=__DEFAULT__",
            "The server could not comply with the request since it is either malformed or "
            "otherwise incorrect.",
        ),
        ("limit=x", "limit param must be an integer"),
        ("offset=x", "offset must be an integer"),
        ("sort=nonsense", "Invalid input received: Invalid sort key"),
        (
            "sort=id:up",
            "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(api, query, words):
    assert message(api.get(f"/v3/types?{query}")) == (400, words)


def test_a_members_unknown_filter_is_ignored_before_3_52_and_refused_from_there_on(api):
    path = "/v3/types?name=x&is_public=false"
    assert api.get(path, version="3.51", roles="member,reader").json["volume_types"] == [MEMBER]
    assert message(api.get(path, version="3.52", roles="member,reader")) == (
        400,
        "Invalid filters name are found in query options.",
    )


def test_no_type_can_be_made(api):
    answer = api.post("/v3/types", {"volume_type": {"name": "gold"}})
    assert message(answer) == (404, "The resource could not be found.")
