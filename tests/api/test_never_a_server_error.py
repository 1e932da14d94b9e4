"""Whatever a client sends, it is told what is wrong with it: no answer is a 5xx."""

import json
import re

import pytest
from falcon import testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.api.routes import all_routes

PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"


@pytest.fixture(autouse=True)
def things(rows):
    """A backup, a volume and a snapshot of the id that the paths and bodies name."""
    rows.service()
    rows.volume(id=AN_ID)
    rows.snapshot(AN_ID, id=AN_ID)
    rows.backup(id=AN_ID, volume_id=AN_ID)


FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

texts = st.text(max_size=40) | st.sampled_from(["", "\0", "\ud800", "9" * 5000, AN_ID, "'; --"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "volume_id",
    "container",
    "description",
    "incremental",
    "force",
    "name",
    "snapshot_id",
    "metadata",
    "availability_zone",
    "size",
    "volume_type",
    "multiattach",
    "source_volid",
    "backup_id",
    "imageRef",
    "group_id",
    "display_name",
    "backup_service",
    "backup_url",
    "status",
]
ROOTS = [
    "backup",
    "restore",
    "volume",
    "snapshot",
    "backup-record",
    "os-reset_status",
    "os-force_delete",
    "OS-SCH-HNT:scheduler_hints",
]
near_misses = st.dictionaries(
    st.sampled_from(ROOTS),
    st.dictionaries(st.sampled_from(KEYS), values | st.just(AN_ID), max_size=5) | values,
    min_size=1,
    max_size=2,
)
bodies = (values | near_misses).map(lambda value: json.dumps(value).encode()) | st.binary()

paths = st.sampled_from(sorted({re.sub(r"\{\w+\}", AN_ID, route.path) for route in all_routes()}))
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
parameters = st.sampled_from(
    [
        "limit",
        "offset",
        "marker",
        "sort",
        "sort_key",
        "sort_dir",
        "with_count",
        "all_tenants",
        "name",
        "name~",
        "status",
        "created_at",
        "metadata",
        "id",
        "project_id",
        "cascade",
        "force",
        "binary",
        "host",
        "x",
    ]
)
queries = st.lists(st.tuples(parameters | texts.filter(lambda t: t.isascii()), texts), max_size=4)


def quoted(text):
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@FUZZ
@given(path=paths, raw=bodies, minor=st.integers(0, 71))
def test_any_body(api, path, raw, minor):
    for method in ("POST", "PUT", "DELETE"):
        answer = api.request(method, path, raw=raw, version=f"3.{minor}")
        assert answer.status_code < 500, answer.text


@FUZZ
@given(path=paths, query=queries, minor=st.integers(0, 71), roles=st.sampled_from([None, "reader"]))
def test_any_query(api, path, query, minor, roles):
    text = "&".join(f"{quoted(key)}={quoted(value)}" for key, value in query)
    answer = api.get(f"{path}?{text}", version=f"3.{minor}", roles=roles)
    assert answer.status_code < 500, answer.text


@FUZZ
@given(
    path=paths,
    name=st.sampled_from(
        [
            "Accept",
            "X-Roles",
            "X-Auth-Token",
            "OpenStack-API-Version",
            "Content-Type",
            "Host",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
        ]
    ),
    value=header_text,
)
def test_any_header(api, path, name, value):
    for method in ("GET", "POST"):
        answer = api.request(method, path, headers={name: value})
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b"9" * 100_000,
        b'{"backup": {"name": "\xff"}}',
        b'\xef\xbb\xbf{"backup": {}}',
        b'{"backup": {"name": "\\u0000"}}',
        b'{"backup": {"name": "\\ud800"}}',
        b'{"backup": NaN}',
        b'{"backup": 1e999}',
    ],
)
@pytest.mark.parametrize("path", ["/v3/backups", f"/v3/backups/{AN_ID}/action", "/v3/volumes"])
def test_a_body_that_is_known_to_be_hard(api, path, raw):
    answer = api.post(path, raw=raw)
    assert answer.status_code == 400
    assert answer.json["badRequest"]["code"] == 400


@pytest.mark.parametrize(
    "path", ["/v3/backups/%FF%FE", "/v3/backups/%00", "/v3/backups/%F0%9F%94%A5"]
)
def test_an_id_of_any_characters_is_not_found(api, path):
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
@pytest.mark.parametrize("place", ["name", "container", "metadata"])
def test_text_that_no_database_gives_back_is_refused(api, place, text):
    value = {"k": text} if place == "metadata" else text
    raw = json.dumps({"backup": {"volume_id": AN_ID, place: value}}).encode()
    answer = api.post("/v3/backups", raw=raw)
    assert answer.json == {"badRequest": {"code": 400, "message": "Malformed request body"}}


@pytest.mark.parametrize("length", ["x", "-1", "1e3"])
def test_a_length_that_is_no_number_is_refused(api, length):
    environ = testing.create_environ("/v3/backups", method="POST", host="localhost")
    environ["CONTENT_LENGTH"] = length
    answered = testing.StartResponseMock()
    b"".join(api.client.app(environ, answered))
    assert answered.status == "400 Bad Request"


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
