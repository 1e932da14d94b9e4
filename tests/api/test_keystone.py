"""What the gate does with what Keystone's middleware says; the real one: tests/system."""

import falcon
import pytest
from falcon import testing

from emberkeep.api.app import create_app
from emberkeep.api.authentication import Answer
from emberkeep.api.context import Identity
from emberkeep.api.keystone import Keystone, TokenCache
from emberkeep.config import ConfigurationError
from emberkeep.config.identity import options_of

DOMAIN = {"id": "default", "name": "Default"}
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
REFUSAL = Answer(
    "401 Unauthorized",
    {"WWW-Authenticate": "Keystone", "Content-Type": "application/json", "Content-Length": "2"},
    b"{}",
)


class Tokens:
    """Knows these tokens; notes whom it was asked for."""

    open_paths = ("/",)

    def __init__(self, **known: Identity) -> None:
        self.known = known
        self.asked: list[str] = []

    def identify(self, req):
        self.asked.append(req.path)
        return self.known.get(req.env.get("HTTP_X_AUTH_TOKEN", ""), REFUSAL)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(
        member=Identity("ada", PROJECT, frozenset({"member", "reader"})),
        unscoped=Identity("ada", "", frozenset()),
        admin=Identity("root", "", frozenset({"admin"})),
    )


@pytest.fixture
def call(make_core, tokens):
    """Sends a request through an application that knows these tokens."""
    client = testing.TestClient(create_app(make_core(), authentication=tokens))

    def send(method, path, token="", **how):
        path, _, query = path.partition("?")
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.71"}
        return client.simulate_request(method, path, query_string=query, headers=headers, **how)

    return send


@pytest.mark.parametrize("path", ["/", "/v2", "/favicon.ico", "/v3.0", "/emberkeep"])
def test_what_is_outside_is_answered_without_asking(call, tokens, path):
    assert call("GET", path).status_code in (300, 404)
    assert tokens.asked == []


@pytest.mark.parametrize("path", ["/v3", "/v3/", "/v3/backups", "/v3/no", "/emberkeep/v1/zones"])
def test_everything_else_gets_the_middlewares_answer_as_it_is(call, path):
    answer = call("GET", path, "garbage")
    assert (answer.status, answer.content) == ("401 Unauthorized", b"{}")
    assert answer.headers["www-authenticate"] == "Keystone"
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert "x-compute-request-id" not in answer.headers
    assert "openstack-api-version" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v3", "/v3/", "/v3/backups", "/v3/no"])
def test_with_a_token_the_routes_answer(call, path):
    expected = {"/v3": 302, "/v3/": 200, "/v3/backups": 200, "/v3/no": 404}[path]
    assert call("GET", path, "member").status_code == expected


def test_size_and_options_come_before_the_token_and_head_after_it(call, tokens):
    assert call("POST", "/v3/backups", body=b"x" * 114689).status_code == 413
    assert call("OPTIONS", "/v3/backups").status_code == 200
    assert tokens.asked == []
    assert call("HEAD", "/v3/backups").status_code == 401
    assert call("HEAD", "/v3/backups", "member").status_code == 404


@pytest.mark.parametrize("token", ["unscoped", "admin"])
def test_a_token_without_a_project_breaks_nothing(call, token):
    listed = 200 if token == "admin" else 403
    for path in ("/v3/backups", "/v3/backups/detail?all_tenants=1", "/v3/volumes"):
        assert call("GET", path, token).status_code == listed
    assert call("GET", "/v3/os-availability-zone", token).status_code == 200
    assert call("GET", f"/v3/{PROJECT}/backups", token).status_code == 400


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("unscoped", "Policy doesn't allow volume:create to be performed."),
        ("admin", "This needs a token that is scoped to a project."),
    ],
)
def test_a_token_without_a_project_makes_nothing(call, token, text):
    made = call("POST", "/v3/volumes", token, json={"volume": {"size": 1}})
    assert made.json == {"forbidden": {"code": 403, "message": text}}


def test_without_a_project_only_an_admin_looks_something_up(call, rows):
    path = f"/v3/backups/{rows.backup(project_id=PROJECT)}"
    for method in ("GET", "DELETE"):
        answer = call(method, path, "unscoped")
        assert answer.json == {"forbidden": {"code": 403, "message": "Not authorized."}}
    assert call("GET", path, "admin").status_code == 200


# The middleware itself, with a Keystone that is away.

AWAY = """\
[keystone_authtoken]
www_authenticate_uri = http://keystone.example
auth_url = http://127.0.0.1:9/v3
auth_type = password
username = keeper
password = hunter2
http_request_max_retries = 0
"""


@pytest.fixture
def away(tmp_path):
    (tmp_path / "emberkeep.conf").write_text(AWAY)
    return options_of(tmp_path / "emberkeep.conf")


def test_when_keystone_does_not_answer_it_is_not_the_clients_fault(make_core, away, caplog):
    client = testing.TestClient(create_app(make_core(), authentication=Keystone(away)))
    answer = client.simulate_get("/v3/backups", headers={"X-Auth-Token": "a-token"})
    assert answer.status_code == 503
    assert "127.0.0.1" not in answer.text
    assert not [word for word in ("hunter2", "a-token") if word in caplog.text + answer.text]
    nobody = client.simulate_get("/v3/backups")
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == 'Keystone uri="http://keystone.example"'
    assert client.simulate_get("/").status_code == 300


def test_with_a_delayed_decision_nobody_gets_in_either(make_core, away):
    away.set_override("delay_auth_decision", True, group="keystone_authtoken")
    client = testing.TestClient(create_app(make_core(), authentication=Keystone(away)))
    forged = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-User-Id": "root"}
    for headers in ({}, forged, {**forged, "X-Auth-Token": "a-token"}):
        assert client.simulate_get("/v3/backups", headers=headers).status_code == 401


@pytest.mark.parametrize(("user", "service"), [("project", "system"), ("system", "project")])
def test_a_services_token_does_not_change_what_the_users_is_for(away, user, service):
    keystone = Keystone(away)
    scopes = {
        "project": {"project": {"id": "p", "name": "p", "domain": DOMAIN}},
        "system": {"system": {"all": True}},
    }
    always = {
        "user": {"id": "u", "name": "u", "domain": DOMAIN},
        "roles": [{"id": "s", "name": "service"}],
        "methods": ["password"],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2999-01-01T00:00:00.000000Z",
    }
    keystone._middleware.fetch_token = lambda token, **_: {"token": {**always, **scopes[token]}}
    headers = {"X-Auth-Token": user, "X-Service-Token": service}
    found = keystone.identify(falcon.Request(testing.create_environ(headers=headers)))
    assert isinstance(found, Identity)
    scope = (found.project_id, found.attributes.get("system_scope"))
    assert scope == (("p", None) if user == "project" else ("", "all"))


def test_options_that_do_not_go_together_are_told(away):
    away.set_override("memcache_security_strategy", "ENCRYPT", group="keystone_authtoken")
    with pytest.raises(ConfigurationError, match="memcache_secret_key must be defined"):
        Keystone(away)


# The cache for where there is no memcached.


def test_a_token_is_kept_as_long_as_it_was_asked_to_be():
    now = [100.0]
    cache = TokenCache(clock=lambda: now[0])
    cache.set("token", b"data", time=300)
    assert cache.get("token") == b"data"
    now[0] += 299
    assert cache.get("token") == b"data"
    now[0] += 1
    assert cache.get("token") is None
    assert cache.get("unknown") is None


@pytest.mark.parametrize("time", [-1, 0])
def test_without_a_time_nothing_is_kept(time):
    cache = TokenCache()
    cache.set("token", b"old", time=60)
    cache.set("token", b"new", time=time)
    assert cache.get("token") is None


def test_the_oldest_token_makes_room():
    cache = TokenCache(size=2)
    for token in ("one", "two", "one", "three"):
        cache.set(token, token.encode(), time=60)
    assert [cache.get(token) for token in ("one", "two", "three")] == [b"one", None, b"three"]
