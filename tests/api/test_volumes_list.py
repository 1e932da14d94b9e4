"""GET /volumes, /volumes/detail and /volumes/summary: filters, sorting, paging, counting."""

import pytest

MEMBER = {"roles": "member,reader"}
READER = {"roles": "reader"}
DEFAULT_FILTERS = [
    "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id",
    "size", "created_at", "updated_at", "consumes_quota",
]  # fmt: skip


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def names(answer):
    assert answer.status_code == 200, answer.json
    return "".join(volume["name"] for volume in answer.json["volumes"])


@pytest.fixture
def three(rows):
    """Volumes a, b and c, the newest last, that differ in everything."""
    a = rows.volume(
        name="a",
        metadata={"k": "v", "l": "w"},
        bootable=True,
        size=3,
        description="first",
        image_metadata={"os": "linux"},
    )
    b = rows.volume(
        name="b",
        metadata={"k": "v"},
        status="error",
        availability_zone="az2",
        migration_status="error",
        size=1,
        backend="keeper@az2#files",
        admin_metadata={"readonly": "True"},
    )
    c = rows.volume(name="c", metadata={"k": "x"}, size=2, user_id="bob")
    return {"a": a, "b": b, "c": c}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=b", "b"),
        ("name=%22b%22", ""),
        ("status=error", "b"),
        ("status=['available','error']", "cba"),
        ("status=[]", ""),
        ("metadata={'k':'v'}", "ba"),
        ("metadata=%7B%22k%22%3A+%22v%22%7D", "ba"),
        ("metadata={'k':'v','l':'w'}", "a"),
        ("metadata={'readonly':'True'}", "b"),
        ("metadata={'k':'v','readonly':'True'}", "b"),
        ("metadata={'nothing':'v'}", ""),
        ("metadata={'\"]':'v'}", ""),
        ("metadata={}", "cba"),
        ("metadata=x", ""),
        ("bootable=true", "a"),
        ("bootable=0", "cb"),
        ("availability_zone=az2", "b"),
        ("availability_zone=nowhere", ""),
        ("size=2", "c"),
        ("size=[1,2]", "cb"),
        ("size=x", ""),
        ("size=None", ""),
        ("size=99999999999999999999999", ""),
        ("migration_status=error", "b"),
        ("migration_status=None", "ca"),
        ("group_id=None", "cba"),
        ("group_id=x", ""),
        ("consumes_quota=true", "cba"),
        ("consumes_quota=no", ""),
        ("created_at=gt:2025-12-31T00:00:00", "cba"),
        ("created_at=lt:2025-12-31T00:00:00", ""),
        ("created_at=gte:2026-01-01T00:00:01,lt:2026-01-01T00:00:02Z", "b"),
        ("created_at=neq:2026-01-01T00:00:00", "cb"),
        ("created_at=eq:2026-01-01T01:00:00%2B01:00", "a"),
        ("created_at=lte:2026-01-01T00:00:01", "ba"),
        ("updated_at=gt:2020-01-01T00:00:00", ""),
        ("name=b&status=available", ""),
        ("name=b&name=b", ""),
        ("all_tenants=1&name=b", "b"),
    ],
)
def test_a_member_filters_by_what_cinder_allows(api, three, query, found):
    for path in ("/v3/volumes", "/v3/volumes/detail"):
        assert names(api.get(f"{path}?{query}", **MEMBER)) == found
    assert names(api.get(f"/v3/volumes?{query}")) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("user_id=bob", "c"),
        ("host=keeper@az2%23files", "b"),
        ("display_description=first", "a"),
        ("glance_metadata={'os':'linux'}", "a"),
        ("attach_status=detached", "cba"),
        ("multiattach=false", "cba"),
        ("name~=b", "b"),
        ("status~=err", "b"),
        ("description=first", ""),
        ("backend=x", ""),
        ("unknown=1", ""),
        ("project_id=another", "cba"),
        ("with_count=1&unknown=1", ""),
    ],
)
def test_an_admin_filters_by_any_column_of_cinders(api, three, query, found):
    assert names(api.get(f"/v3/volumes?{query}")) == found


def test_lists_of_all_projects_are_an_admins(api, three, rows):
    rows.volume(name="x", project_id="another")
    assert names(api.get("/v3/volumes?all_tenants=1")) == "xcba"
    assert names(api.get("/v3/volumes?all_tenants=1&project_id=another")) == "x"
    assert names(api.get("/v3/volumes?all_tenants=1", **MEMBER)) == "cba"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("bootable=x", "Invalid input received: 'bootable = x'"),
        ("consumes_quota=x", "Value 'x' for 'use_quota' is not a boolean."),
        ("created_at=x", "Invalid x operator"),
        ("created_at=gt", "Invalid gt value"),
        ("updated_at=gt:x", "Invalid x value"),
        ("with_count=x", "Value 'x' for 'with_count' is not a boolean."),
        ("limit=x", "limit param must be an integer"),
        ("limit=-1", "limit param must be positive"),
        ("offset=-1", "offset must be >= 0"),
        ("sort=x", "Invalid input received: Invalid sort key"),
        ("sort=backend", "Invalid input received: Invalid sort key"),
        ("sort=metadata", "Invalid input received: Invalid sort key"),
        ("sort=name:up",
         "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."),
        ("sort=name&sort_key=id", "The 'sort_key' and 'sort_dir' parameters are deprecated and "
         "cannot be used with the 'sort' parameter."),
        ("unknown=1&b=2", "Invalid filters unknown,b are found in query options."),
        ("user_id=bob", "Invalid filters user_id are found in query options."),
    ],
)  # fmt: skip
def test_what_a_member_must_not_ask(api, three, query, words):
    assert fault(api.get(f"/v3/volumes?{query}", **MEMBER)) == (400, words)


def test_all_tenants_is_a_boolean(api):
    assert fault(api.get("/v3/volumes?all_tenants=x")) == (
        400, "Value 'x' for 'all_tenants' is not a boolean."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "query", "found"),
    [
        ("3.30", "unknown=1", "cba"),
        ("3.30", "user_id=bob", "cba"),
        ("3.30", "created_at=x", "cba"),
        ("3.30", "group_id=x", ""),
        ("3.9", "group_id=x", "cba"),
        ("3.1", "bootable=x", "a"),
        ("3.1", "bootable=FALSE", "cb"),
        ("3.0", "status=error", "b"),
        ("3.0", "with_count=1", "cba"),
        ("3.44", "sort=name:asc", "abc"),
    ],
)
def test_earlier_microversions_are_less_strict(api, three, version, query, found):
    assert names(api.get(f"/v3/volumes?{query}", version=version, **MEMBER)) == found


def test_before_3_45_nothing_is_counted(api, three):
    assert "count" not in api.get("/v3/volumes?with_count=1", version="3.30", **MEMBER).json
    answer = api.get("/v3/volumes?with_count=1&limit=1&status=available", version="3.45", **MEMBER)
    assert (names(answer), answer.json["count"]) == ("c", 2)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort=name", "cba"),
        ("sort=size:asc", "bca"),
        ("sort_key=size&sort_dir=desc", "acb"),
        ("sort_key=display_name&sort_dir=asc", "abc"),
        ("sort=status:desc,name:asc", "bac"),
        ("sort=multiattach:asc", "abc"),
        ("sort=group_id", "cba"),
        ("sort=host:desc,name:asc", "bac"),
        ("limit=1", "c"),
        ("limit=0", ""),
        ("limit=1&offset=1", "b"),
        ("limit=2&marker={c}", "ba"),
        ("sort=size:asc&marker={c}", "a"),
    ],
)
def test_volumes_are_sorted_and_paged(api, three, query, found):
    answer = api.get(f"/v3/volumes?{query.format(**three)}", **MEMBER)
    assert names(answer) == found


def test_the_next_page_is_linked(api, three):
    answer = api.get("/v3/volumes/detail?limit=2&name~=x&status=available")
    assert "volumes_links" not in answer.json
    (link,) = api.get("/v3/volumes/detail?limit=2", **MEMBER).json["volumes_links"]
    assert link == {
        "rel": "next",
        "href": f"http://localhost:8776/v3/volumes/detail?limit=2&marker={three['b']}",
    }


def test_a_marker_that_is_not_there(api, three, rows):
    foreign = rows.volume(project_id="another")
    for marker in ("x", foreign):
        assert fault(api.get(f"/v3/volumes?marker={marker}", **MEMBER)) == (
            404, f"Volume {marker} could not be found."
        )  # fmt: skip


def test_without_a_role_nothing_is_listed(api):
    for path in ("/v3/volumes", "/v3/volumes/detail", "/v3/volumes/summary"):
        assert fault(api.get(path, roles="someone")) == (
            403, "Policy doesn't allow volume:get_all to be performed."
        )  # fmt: skip


def test_the_filters_of_members_are_configured(make_api, three):
    api = make_api(filters={"volume": ("user_id", "name~"), "snapshot": (), "backup": ()})
    assert names(api.get("/v3/volumes?user_id=bob", **MEMBER)) == "c"
    assert names(api.get("/v3/volumes?name~=b", **MEMBER)) == "b"
    assert fault(api.get("/v3/volumes?status=error", **MEMBER)) == (
        400, "Invalid filters status are found in query options."
    )  # fmt: skip


@pytest.mark.parametrize("name", DEFAULT_FILTERS)
def test_no_value_of_a_filter_is_an_error_of_the_server(api, three, name):
    for value in (
        "",
        "'\\ud800'",
        "'\\0'",
        "[" * 300,
        "{[]:1}",
        "0x" + "f" * 5000,
        "1e999",
        "b'x'",
    ):
        answer = api.get(f"/v3/volumes?{name}={value}", **MEMBER)
        assert answer.status_code in (200, 400), value


# summary


@pytest.mark.parametrize(
    ("version", "metadata"),
    [("3.12", {}), ("3.35", {}), ("3.36", {"metadata": {"k": ["v", "x"], "l": ["w"]}})],
)
def test_a_summary_counts_and_adds_up(api, three, rows, version, metadata):
    rows.volume(project_id="another", metadata={"z": "1"}, size=100)
    answer = api.get("/v3/volumes/summary", version=version, **READER)
    assert answer.json == {"volume-summary": {"total_count": 3, "total_size": 6, **metadata}}


def test_before_3_12_there_is_no_summary(api):
    assert fault(api.get("/v3/volumes/summary", version="3.11")) == (
        404, "The resource could not be found."
    )  # fmt: skip


def test_a_summary_of_all_projects_is_an_admins(api, three, rows):
    rows.volume(project_id="another")
    path = "/v3/volumes/summary?all_tenants=1"
    assert api.get(path).json["volume-summary"]["total_count"] == 4
    assert api.get(path, **MEMBER).json["volume-summary"]["total_count"] == 3
    assert fault(api.get("/v3/volumes/summary?all_tenants=x")) == (
        400, "Value 'x' for 'all_tenants' is not a boolean."
    )  # fmt: skip


def test_a_summary_of_nothing(api):
    assert api.get("/v3/volumes/summary").json == {
        "volume-summary": {"total_count": 0, "total_size": 0, "metadata": {}}
    }
