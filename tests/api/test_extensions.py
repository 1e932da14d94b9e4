"""What of Cinder there is here: extensions, and what lists may be filtered by."""

import pytest

SOMEBODY = {"roles": "someone"}
BACKUPS = {
    "name": "Backups",
    "alias": "backups",
    "description": "Backups support.",
    "updated": "2012-12-12T00:00:00+00:00",
    "links": [],
}


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def test_there_are_backups(api):
    answer = api.get("/v3/extensions", **SOMEBODY)
    assert answer.status_code == 200
    assert BACKUPS in answer.json["extensions"]
    assert api.get("/v3/extensions/backups", **SOMEBODY).json == {"extension": BACKUPS}


def test_every_extension_can_be_shown(api):
    found = api.get("/v3/extensions").json["extensions"]
    assert len({one["name"] for one in found}) == len(found)
    for one in found:
        assert list(one) == list(BACKUPS)
        assert api.get(f"/v3/extensions/{one['alias']}").json == {"extension": one}


def test_an_unknown_extension_is_not_found(api):
    answer = api.get("/v3/extensions/nonsense")
    assert message(answer) == (404, "The resource could not be found.")


def test_an_extension_that_stands_for_routes_has_them(api):
    for path in ("backups", "os-quota-sets/x", "os-quota-class-sets/x", "os-services"):
        alias = path.partition("/")[0]
        assert api.get(f"/v3/extensions/{alias}").status_code == 200
        assert api.get(f"/v3/{path}").status_code == 200


def test_resource_filters_are_those_of_cinder(api):
    answer = api.get("/v3/resource_filters", **SOMEBODY)
    assert answer.status_code == 200
    found = {one["resource"]: one["filters"] for one in answer.json["resource_filters"]}
    assert found["backup"] == ["name", "status", "volume_id"]
    assert found["volume"] == [
        "name", "status", "metadata", "bootable", "migration_status", "availability_zone",
        "group_id", "size", "created_at", "updated_at", "consumes_quota",
    ]  # fmt: skip
    assert found["snapshot"] == [
        "name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota",
    ]  # fmt: skip
    assert found["message"] == [
        "resource_uuid", "resource_type", "event_id", "request_id", "message_level",
    ]  # fmt: skip


@pytest.mark.parametrize(("query", "number"), [("resource=backup", 1), ("resource=x", 0)])
def test_one_resources_filters(api, query, number):
    found = api.get(f"/v3/resource_filters?{query}").json["resource_filters"]
    assert [one["resource"] for one in found] == ["backup"] * number


def test_an_empty_name_is_no_name(api):
    every = api.get("/v3/resource_filters").json
    assert api.get("/v3/resource_filters?resource=").json == every


def test_resource_filters_are_what_the_operator_says(make_api):
    api = make_api(filters={"backup": ("name~",)})
    assert api.get("/v3/resource_filters").json == {
        "resource_filters": [{"resource": "backup", "filters": ["name~"]}]
    }


def test_resource_filters_came_with_3_33(api):
    answer = api.get("/v3/resource_filters", version="3.32")
    assert message(answer) == (404, "The resource could not be found.")


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/v3/messages?resource_uuid=x", {"roles": "member,reader"}),
        ("/v3/types?is_public=true", {"roles": "member,reader"}),
        ("/v3/attachments?status=x", {"roles": "member,reader"}),
        ("/v3/scheduler-stats/get_pools?name=x", {}),
    ],
)
def test_a_resource_that_the_operator_leaves_out_has_no_filters(make_api, path, who):
    name = path.partition("?")[2].partition("=")[0]
    assert make_api().get(path, **who).status_code == 200
    assert message(make_api(filters={}).get(path, **who)) == (
        400,
        f"Invalid filters {name} are found in query options.",
    )
