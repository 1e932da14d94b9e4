"""Whatever a client sends, on whatever route, it is told what is wrong with it: never a 5xx.

The routes, and what their bodies may hold, come from the table of routes: a new route is here by
itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.conftest import PROJECT
from tests.api.wsgi import Answer, ask, check

from emberkeep.api.routes import ROUTES, all_routes
from emberkeep.db.database import utc_now

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
FUZZ = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WITH_BODY = [route for route in ROUTES if route.schema is not None]
WHO = ["admin", "member", "reader", "visitor"]

HARD_TEXTS = [
    "", " ", "\0", "a\0b", "\ud800", "\U0001f525", "\u2028", "a\nb", "%", "%s", "{0}", "..", "/",
    "'; DROP TABLE backups; --", "9" * 5000, "x" * 256, "x" * 70_000, AN_ID, AN_ID.upper(),
    AN_ID.replace("-", ""), f"{{{AN_ID}}}", f"urn:uuid:{AN_ID}", "\u0661", "NaN", "-0", "1e999",
    "0" * 5000 + "1", "\n",
]  # fmt: skip
HARD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308,
    float("inf"), float("nan"), [], {}, [[]], [None], {"": ""}, {"a": None}, {"a": {"a": {}}},
    [AN_ID], {"\0": "\ud800"}, {"k" * 300: "v"}, {"k": "v" * 300}, *HARD_TEXTS,
]  # fmt: skip
HARD_BODIES = [
    b"", b" ", b"null", b"0", b"true", b'""', b"[]", b"{}", b"[{}]", b"{", b"}", b"\0", b"\xff",
    b"[" * 50_000, b'{"a":' * 20_000, b"[" * 900 + b"]" * 900, b"9" * 100_000,
    b"-" + b"9" * 5000, b"1e999", b"NaN", b"Infinity", b'\xef\xbb\xbf{"backup": {}}',
    '{"backup": {}}'.encode("utf-16"), b'{"backup": {"name": "\xff"}}',
    b'{"backup": {"name": "\\u0000"}}', b'{"backup": {"name": "\\ud800"}}',
    b'{"a": 1, "a": 2}', b'{"backup": {}, "backup": null}', b'{"backup": NaN}',
    b'{"backup": {}} x', b'{"": {}}', b'{"__proto__": {}}', b'{"\\ud83d": {}}',
    json.dumps({str(number): number for number in range(8000)}).encode(),
]  # fmt: skip


@pytest.fixture(autouse=True)
def things(rows: Any) -> None:
    """A backup, a volume and a snapshot of the id that paths and bodies name."""
    rows.service(heartbeat_at=utc_now().replace(year=2999))
    rows.volume(id=AN_ID)
    rows.snapshot(AN_ID, id=AN_ID)
    rows.backup(id=AN_ID, volume_id=AN_ID)


@pytest.fixture
def app(api: Any) -> Any:
    return api.client.app


def send(
    app: Any,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    who: str = "admin",
    minor: int = 71,
    **how: Any,
) -> Answer:
    """One request, whose answer must be a decent one."""
    headers = {
        "X-Auth-Token": f"ada:{PROJECT}",
        "X-Roles": who,
        "OpenStack-API-Version": f"volume 3.{minor}",
        "Content-Type": "application/json",
    } | how.pop("headers", {})
    return check(ask(app, method, target, body=body, headers=headers, **how))


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", AN_ID, path)


def within(schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of a body that its schema names."""
    for key, inner in schema.get("properties", {}).items():
        yield (*above, key)
        yield from within(inner, (*above, key))
    if any(re.search(pattern, "backups") for pattern in schema.get("patternProperties", ())):
        yield (*above, "backups")  # a key of metadata, or a quota's name


def planted(place: tuple[str, ...], value: Any) -> bytes:
    for key in reversed(place):
        value = {key: value}
    return json.dumps(value).encode()


def label(route: Any) -> str:
    return f"{route.method} {route.path} {route.action or ''}".strip()


@pytest.mark.parametrize("route", WITH_BODY, ids=label)
def test_any_value_in_any_place_of_a_body(app: Any, route: Any) -> None:
    for place in within(route.schema.newest):
        for value in HARD_VALUES:
            send(app, route.method, filled(route.path), planted(place, value))


@pytest.mark.parametrize("route", WITH_BODY, ids=label)
def test_a_body_that_is_known_to_be_hard(app: Any, route: Any) -> None:
    for raw in HARD_BODIES:
        for who in ("admin", "visitor"):
            answer = send(app, route.method, filled(route.path), raw, who=who)
            assert 400 <= answer.status < 500


KEYS = sorted(
    {key for route in WITH_BODY for place in within(route.schema.newest) for key in place}
)
texts = st.text(max_size=40) | st.sampled_from(HARD_TEXTS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(AN_ID),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(KEYS) | texts
methods = st.sampled_from(
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "X"]
)
paths = st.sampled_from(sorted({filled(route.path) for route in all_routes()}))
people = st.sampled_from(WHO)
minors = st.integers(0, 71)


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A route, and a body that has its root and some of its keys."""
    route = draw(st.sampled_from(WITH_BODY))
    root, depth = route.schema.root, 2 if route.schema.root else 1
    known = [place[-1] for place in within(route.schema.newest) if len(place) == depth]
    inner = st.sampled_from(known) | keys if known else keys
    content = draw(st.dictionaries(inner, values, max_size=5) | values)
    body = {root: content} if root or not isinstance(content, dict) else content
    if draw(st.integers(0, 9)) == 0:
        body[draw(keys)] = draw(values)
    return route.method, filled(route.path), json.dumps(body).encode()


@FUZZ
@given(request=near_misses(), who=people, minor=minors)
def test_a_body_that_is_almost_right(app, request, who, minor):
    method, path, body = request
    send(app, method, path, body, who=who, minor=minor)


@FUZZ
@given(path=paths, raw=values.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_body_for_any_method(app, path, raw):
    for method in ("GET", "POST", "PUT", "DELETE"):
        send(app, method, path, raw)


parameters = st.sampled_from(
    [
        "limit", "offset", "marker", "sort", "sort_key", "sort_dir", "with_count", "all_tenants",
        "name", "name~", "status", "created_at", "metadata", "id", "project_id", "deleted",
        "cascade", "force", "binary", "host", "usage", "resource", "x",
    ]
)  # fmt: skip
queries = st.lists(st.tuples(parameters | texts, texts), max_size=4)


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@FUZZ
@given(path=paths, query=queries, who=people, minor=minors)
def test_any_query(app, path, query, who, minor):
    text = "&".join(f"{quoted(key)}={quoted(value)}" for key, value in query)
    send(app, "GET", f"{path}?{text}", who=who, minor=minor)


@pytest.mark.parametrize("who", ["admin", "member"])
@pytest.mark.parametrize(
    "path", [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path]
)
def test_any_value_of_any_parameter(app: Any, path: str, who: str) -> None:
    named = ("limit", "offset", "marker", "sort", "sort_key", "sort_dir", "with_count")
    for name in (*named, "all_tenants", "name", "name~", "size", "created_at", "created_at~"):
        for value in (text for text in HARD_TEXTS if len(text) < 6000):
            send(app, "GET", f"{path}?{name}={quoted(value)}", who=who)
    for query in ("&", "=", "=&=", "%", "%zz=%", "a;b", "limit", "limit=1&limit=2", "sort=,", "?"):
        send(app, "GET", f"{path}?{query}", who=who)


segments = st.sampled_from(
    ["v3", "v2", "emberkeep", "backups", "volumes", "snapshots", "detail", "action", "restore",
     "metadata", "os-quota-sets", PROJECT, AN_ID, "", ".", "..", "%00", "%2F", "%FF", "a.json",
     "%F0%9F%94%A5", "x" * 3000, "import_record", ".json", "{id}", "*"]
)  # fmt: skip


@FUZZ
@given(method=methods, path=st.lists(segments | texts.map(quoted), max_size=6), who=people)
def test_any_path(app, method, path, who):
    send(app, method, "/" + "/".join(path), who=who)


HEADERS = [
    "Accept", "X-Roles", "X-Auth-Token", "OpenStack-API-Version", "Content-Type", "Host",
    "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Service-Token", "Expect",
    "Transfer-Encoding", "X-Identity-Status", "X-Project-Id", "X-Openstack-Request-Id", "Range",
]  # fmt: skip
header_texts = st.text(st.characters(max_codepoint=255), max_size=40) | st.sampled_from(
    ["", " ", ",", ";", "=", "volume", "volume 3.x", "volume 3.99999999999999999999", "volume  3.1",
     "volume 3.1, volume 3.2", "VOLUME 3.1", ":", "::", "a:", ":b", "[", "[::1", "localhost:x",
     "*/*;q=x", "application/json;q=2", "text/html;q=nan", "\xff", "a" * 60_000, "\t", "\0"]
)  # fmt: skip


@FUZZ
@given(path=paths, name=st.sampled_from(HEADERS), value=header_texts)
def test_any_header(app, path, name, value):
    for method, body in (("GET", b""), ("POST", b"{}")):
        send(app, method, path, body, headers={name: value})


def test_a_thousand_headers(app: Any) -> None:
    answer = send(app, "GET", "/v3/backups", headers={f"X-{n}": "x" * 100 for n in range(1000)})
    assert answer.status == 200


@pytest.mark.parametrize("route", WITH_BODY, ids=label)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_whether_it_says_its_length_or_not(
    app: Any, route: Any, chunked: bool
) -> None:
    body = b'{"' + b"x" * 10_000_000 + b'": 1}'
    answer = send(app, route.method, filled(route.path), body, chunked=chunked)
    assert answer.status == 413
    assert b"Request is too large. Larger than max_request_body_size (%s)." in answer.body


@pytest.mark.parametrize(
    "length", ["x", "-1", "1e3", "", " ", "0x10", "9" * 5000, "+5", "1_0", "٣"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_any_length(app: Any, method: str, length: str) -> None:
    answer = send(app, method, f"/v3/backups/{AN_ID}", b"{}", length=length)
    assert 200 <= answer.status < 500


@pytest.mark.parametrize("length", ["x", "-1", "1e3"])
def test_a_length_that_is_no_number_is_refused(app: Any, length: str) -> None:
    assert send(app, "POST", "/v3/backups", b"{}", length=length).status == 400


def test_a_body_that_is_shorter_than_it_says(app: Any) -> None:
    assert send(app, "POST", "/v3/backups", b'{"backup"', length="100").status == 400


@pytest.mark.parametrize(
    ("an_id", "told"),
    [
        ("%FF%FE", "\ufffd\ufffd"),
        ("%00", "\ufffd"),
        ("%F0%9F%94%A5", "\U0001f525"),
        (AN_ID.upper(), AN_ID.upper()),
    ],
)
def test_an_id_of_any_characters_is_not_found(app: Any, an_id: str, told: str) -> None:
    answer = send(app, "GET", f"/v3/backups/{an_id}")
    assert answer.status == 404
    assert answer.json["itemNotFound"]["message"] == f"Backup {told} could not be found."


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
@pytest.mark.parametrize("place", ["name", "container", "metadata"])
def test_text_that_no_database_gives_back_is_refused(app: Any, place: str, text: str) -> None:
    value = {"k": text} if place == "metadata" else text
    raw = json.dumps({"backup": {"volume_id": AN_ID, place: value}}).encode()
    answer = send(app, "POST", "/v3/backups", raw)
    assert answer.json == {"badRequest": {"code": 400, "message": "Malformed request body"}}


def test_a_bug_is_logged_and_not_shown(api, database, caplog):
    with database.writing() as tx:
        tx.connection.exec_driver_sql("DROP TABLE backups")
    answer = api.get("/v3/backups")
    assert answer.status_code == 500
    assert answer.json == {
        "computeFault": {
            "code": 500,
            "message": "The server has either erred or is incapable of performing the requested "
            "operation.",
        }
    }
    assert answer.headers["x-compute-request-id"].startswith("req-")
    assert "no such table: backups" in caplog.text
