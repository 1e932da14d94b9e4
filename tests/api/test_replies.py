"""How a handler's reply becomes a response, whatever the route."""

from dataclasses import replace

import pytest

from emberkeep.api import routes
from emberkeep.api.context import Reply


@pytest.fixture
def answer(monkeypatch, make_api):
    """The response to a request whose handler replies this."""

    def given(reply):
        table = tuple(
            replace(route, handler=lambda _core, _call: reply)
            if (route.method, route.path) == ("DELETE", "/v3/volumes/{id}")
            else route
            for route in routes.ROUTES
        )
        monkeypatch.setattr(routes, "ROUTES", table)
        return make_api().delete("/v3/volumes/x")

    return given


@pytest.mark.parametrize(
    ("reply", "content_type", "controlled"),
    [
        (Reply(202), "application/json", True),
        (Reply(200, {"a": 1}), "application/json", True),
        (Reply(204), None, True),
        (Reply(202, bare=True), "text/html; charset=UTF-8", False),
        (Reply(204, bare=True), None, False),
    ],
)
def test_what_a_reply_is_sent_as(answer, reply, content_type, controlled):
    sent = answer(reply)
    assert sent.status_code == reply.status
    assert sent.content == (b'{"a": 1}' if reply.body else b"")
    assert sent.headers.get("content-type") == content_type
    assert ("x-compute-request-id" in sent.headers) is controlled
    assert sent.headers["openstack-api-version"] == "volume 3.71"
