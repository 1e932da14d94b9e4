"""A project learns nothing of another one: whatever it asks, the answers are as if there were none.

Two services differ by one thing: in the first, another project has volumes, snapshots, backups,
attachments, messages and limits of its own, some of them called and placed as ours.  Every route of
the table is asked the same by a member, a reader and a visitor of our project, with the other
project's ids (which in the second service are ids of nothing), its name and what its rows hold;
every answer must be the same.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from tests.api.conftest import FIRST_MOMENT, PROJECT, Rows
from tests.api.fixtures import OTHER_PROJECT, ServiceAtRest
from tests.api.test_never_a_server_error import label
from tests.api.wsgi import Answer, ask, check

from emberkeep.api.core import FILTERS
from emberkeep.api.routes import ROUTES, Route
from emberkeep.db import tables

OURS = {
    "volume": "11111111-0000-4000-8000-000000000001",
    "snapshot": "11111111-0000-4000-8000-000000000002",
    "backup": "11111111-0000-4000-8000-000000000003",
    "second backup": "11111111-0000-4000-8000-000000000004",
    "volume that only they backed up": "11111111-0000-4000-8000-000000000005",
    "attachment": "11111111-0000-4000-8000-000000000006",
    "message": "11111111-0000-4000-8000-000000000007",
}
THEIRS = {
    "volume": "22222222-0000-4000-8000-000000000001",
    "snapshot": "22222222-0000-4000-8000-000000000002",
    "backup": "22222222-0000-4000-8000-000000000003",
    "increment": "22222222-0000-4000-8000-000000000004",
    "failure": "22222222-0000-4000-8000-000000000005",
    "backup of ours": "22222222-0000-4000-8000-000000000006",
    "only backup of ours": "22222222-0000-4000-8000-000000000007",
    "attachment": "22222222-0000-4000-8000-000000000008",
    "message": "22222222-0000-4000-8000-000000000009",
}
KINDS = ("volume", "snapshot", "backup", "attachment", "message")
ONE_OF_EACH = [THEIRS[kind] for kind in KINDS]
WHO = ["member,reader", "reader", "visitor"]
LISTED = (
    tables.backups, tables.volumes, tables.snapshots, tables.attachments, tables.messages,
)  # fmt: skip
COLUMNS = sorted({column.name for table in LISTED for column in table.c} | {"name", "nothing"})


def at(seconds: int) -> datetime:
    return FIRST_MOMENT + timedelta(seconds=seconds)


def put(service: ServiceAtRest, table: sa.Table, **values: Any) -> None:
    with service.world.parts.database.writing() as tx:
        tx.changed(sa.insert(table).values(values))


def an_attachment(key: str, ids: dict[str, str], project_id: str) -> dict[str, Any]:
    return {
        "id": ids[key], "volume_id": ids["volume"], "project_id": project_id,
        "attach_status": "attached", "attach_mode": "rw", "instance_uuid": ids["backup"],
        "attached_host": "compute1", "connection_info": {}, "created_at": at(80), "deleted": False,
    }  # fmt: skip


def a_message(key: str, ids: dict[str, str], project_id: str) -> dict[str, Any]:
    return {
        "id": ids[key], "project_id": project_id, "request_id": "req-1",
        "resource_type": "VOLUME_BACKUP", "resource_uuid": ids["backup"], "action_id": "013",
        "detail_id": "024", "event_id": "VOLUME_VOLUME_BACKUP_013_024", "message_level": "ERROR",
        "created_at": at(90), "expires_at": at(90).replace(year=2999), "deleted": False,
    }  # fmt: skip


def furnish(service: ServiceAtRest) -> None:
    """What we have."""
    rows = Rows(service.world.parts.database)
    put(service, tables.attachments, **an_attachment("attachment", OURS, PROJECT))
    put(service, tables.messages, **a_message("message", OURS, PROJECT))
    volume = rows.volume(id=OURS["volume"], name="shared name", created_at=at(10))
    rows.volume(id=OURS["volume that only they backed up"], created_at=at(15))
    rows.snapshot(volume, id=OURS["snapshot"], name="shared name", created_at=at(20))
    for key, seconds in (("backup", 30), ("second backup", 50)):
        rows.backup(
            id=OURS[key], volume_id=volume, display_name="shared name", created_at=at(seconds),
            data_timestamp=at(seconds),
        )  # fmt: skip


def furnish_others(service: ServiceAtRest) -> None:
    """What the other project has: earlier, between, and later; also a backup of our volume."""
    rows = Rows(service.world.parts.database)
    put(service, tables.attachments, **an_attachment("attachment", THEIRS, OTHER_PROJECT))
    put(service, tables.messages, **a_message("message", THEIRS, OTHER_PROJECT))
    put(service, tables.quotas, project_id=OTHER_PROJECT, resource="backups", hard_limit=77)
    theirs = {"project_id": OTHER_PROJECT, "user_id": "eve"}
    volume = rows.volume(id=THEIRS["volume"], name="their name", created_at=at(5), **theirs)
    rows.snapshot(volume, id=THEIRS["snapshot"], name="their name", created_at=at(6), **theirs)
    rows.backup(
        id=THEIRS["backup"], volume_id=volume, display_name="their name", created_at=at(40),
        num_dependent_backups=1, size=500, availability_zone="az2", **theirs,
    )  # fmt: skip
    rows.backup(
        id=THEIRS["increment"], volume_id=volume, parent_id=THEIRS["backup"], size=500,
        display_name="shared name", created_at=at(60), **theirs,
    )  # fmt: skip
    rows.backup(id=THEIRS["failure"], status="error", fail_reason="theirs", **theirs)
    for key, of, parent in (
        ("backup of ours", "volume", OURS["backup"]),
        ("only backup of ours", "volume that only they backed up", None),
    ):
        rows.backup(
            id=THEIRS[key], volume_id=OURS[of], parent_id=parent, created_at=at(70),
            data_timestamp=at(70), **theirs,
        )  # fmt: skip


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[ServiceAtRest, ServiceAtRest]]:
    """A service with the other project's things, and one without."""
    both = ServiceAtRest(), ServiceAtRest()
    for service in both:
        service.start_fixture()
        furnish(service)
    furnish_others(both[0])
    yield both
    for service in reversed(both):
        service.stop_fixture()


def answers(
    services: tuple[ServiceAtRest, ServiceAtRest],
    method: str,
    target: str,
    body: Any = None,
    *,
    who: str = WHO[0],
    version: str = "3.71",
) -> list[Answer]:
    headers = {
        "X-Auth-Token": f"ada:{PROJECT}",
        "X-Roles": who,
        "OpenStack-API-Version": f"volume {version}",
        "Content-Type": "application/json",
    }
    raw = b"" if body is None else json.dumps(body).encode()
    return [
        check(ask(service.app, method, target, headers=headers, body=raw)) for service in services
    ]


def comparable(answer: Answer) -> tuple[int, list[str], str]:
    """The answer without what is new each time: times of today, and ids that nobody gave."""
    text = re.sub(r"2\d{3}-\d\d-\d\dT[\d:.]+", _unless_first_day, answer.body.decode())
    known = {*OURS.values(), *THEIRS.values()}
    form = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    text = re.sub(form, lambda found: found[0] if found[0] in known else "<new id>", text)
    return answer.status, sorted(answer.headers), text


def _unless_first_day(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith(FIRST_MOMENT.date().isoformat()) else "<time>"


def differing(services: tuple[ServiceAtRest, ServiceAtRest], *asked: Any, **how: Any) -> list[str]:
    """The two answers, if they differ."""
    first, second = answers(services, *asked, **how)
    if comparable(first) == comparable(second):
        return []
    return [f"{asked} {how}: {first.status} {first.body!r}, not {second.status} {second.body!r}"]


def targets(route: Route) -> Iterator[str]:
    """The route's paths with each of their ids, and ours."""
    if "{" not in route.path:
        yield route.path
        return
    ours = [OURS[kind] for kind in KINDS]
    for an_id in (*ONE_OF_EACH, *ours, THEIRS["backup of ours"], OTHER_PROJECT, "their name"):
        yield re.sub(r"\{\w+\}", quote(an_id), route.path)


# What a body holds at least, where its schema does not say so.
CONTENTS: dict[tuple[str, str | None], dict[str, Any]] = {
    ("/v3/volumes/{id}", None): {"name": "x"},
    ("/v3/volumes/{id}/action", "os-reset_status"): {"status": "error"},
    ("/v3/volumes/{volume_id}/metadata/{id}", None): {THEIRS["volume"]: "x"},
    ("/v3/snapshots/{id}", None): {"name": "x"},
    ("/v3/snapshots/{id}/action", "os-reset_status"): {"status": "error"},
    ("/v3/snapshots/{snapshot_id}/metadata/{id}", None): {THEIRS["snapshot"]: "x"},
    ("/v3/attachments/{id}", None): {"connector": {"host": "compute1"}},
    ("/v3/os-quota-sets/{id}", None): {"backups": 5},
}


def bodies(route: Route) -> Iterator[Any]:
    """Bodies that the route takes, with each of their ids where an id may stand, and ours."""
    if route.schema is None:
        yield None
        return
    root, form = route.schema.root, route.schema.newest
    form = form["properties"][root] if root else form
    required = CONTENTS.get((route.path, route.action)) or {
        key: _value(form["properties"][key]) for key in form.get("required", ())
    }
    wanted = [required]
    for key, inner in form.get("properties", {}).items():
        if "uuid" in json.dumps(inner) or key.endswith(("id", "ids")):
            wanted += [{**required, key: an_id} for an_id in ONE_OF_EACH]
    for content in wanted:
        yield {root: content} if root else content


def _value(form: dict[str, Any]) -> Any:
    """Something that such a form allows."""
    match form:
        case {"enum": [first, *_]}:
            return first
        case {"format": "backup_status"}:
            return "error"
        case {"format": "base64"}:
            return "e30="
        case {"format": "uuid"}:
            return OURS["volume"]
        case {"type": "object"} | {"type": ["object", *_]}:
            return {}
        case {"type": "integer"} | {"type": ["integer", *_]}:
            return 1
    return "x"


def test_their_backups_are_no_parents_of_ours(services: Any) -> None:
    wanted = {"volume_id": OURS["volume that only they backed up"], "incremental": True}
    assert not differing(services, "POST", "/v3/backups", {"backup": wanted})


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_no_route_tells(services: Any, route: Route, who: str) -> None:
    found = []
    for target in targets(route):
        for body in bodies(route):
            found += differing(services, route.method, target, body, who=who)
    assert not found


NAMES = {table.name for table in LISTED}
LISTS = [
    route.path
    for route in ROUTES
    if route.method == "GET" and "{" not in route.path and NAMES & {*route.path.split("/")}
]
WORDS = ("shared name", "their name", "error", "available", *THEIRS.values())


def queries() -> Iterator[str]:
    """What a list may be asked for, with what their rows hold."""
    yield from ("with_count=1", "all_tenants=1&with_count=1")
    yield from (f"all_tenants={word}" for word in ("0", "yes", "x", ""))
    yield from (f"limit={n}&with_count=1" for n in range(4))
    yield from (f"offset={n}" for n in range(4))
    yield from (f"marker={an_id}" for an_id in (*THEIRS.values(), *OURS.values()))
    yield from (f"sort={key}:asc" for key in COLUMNS)
    yield from (f"{key}={OTHER_PROJECT}" for key in COLUMNS)
    yield from (f"{key}~=their" for key in COLUMNS)
    for key in sorted({name for names in FILTERS.values() for name in names}):
        yield from (f"{key}={quote(word)}&with_count=1" for word in WORDS)
    yield f"project_id={OTHER_PROJECT}&all_tenants=1"


@pytest.mark.parametrize("path", LISTS)
def test_no_list_tells(services: Any, path: str) -> None:
    found = []
    for query in queries():
        found += differing(services, "GET", f"{path}?{query}")
    for key in COLUMNS:
        found += differing(services, "GET", f"{path}?{key}={OTHER_PROJECT}", version="3.30")
    assert not found


@pytest.mark.parametrize("who", [*WHO, "admin"])
@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_the_other_projects_path_is_no_ones(services: Any, route: Route, who: str) -> None:
    if not route.path.startswith("/v3/") or route.path == "/v3/":
        return
    path = re.sub(r"\{\w+\}", THEIRS["backup"], route.path).replace("/v3/", f"/v3/{OTHER_PROJECT}/")
    body = {route.action: None} if route.action else {}
    for answer in answers(services, route.method, path, body, who=who):
        assert answer.status == 400
        assert answer.json["badRequest"]["message"] == "Malformed request url"


def test_nothing_of_theirs_was_touched(services: Any) -> None:
    """After all that was asked above, and again in full here."""
    service = services[0]
    before = theirs(service)
    for route in ROUTES:
        for target in targets(route):
            for body in bodies(route):
                answers(services, route.method, target, body)
    assert theirs(service) == before
    assert len(before) == len(THEIRS) + 1  # and the limit


def theirs(service: ServiceAtRest) -> list[dict[str, Any]]:
    """All rows of the other project, in all tables."""
    with service.world.parts.database.reading() as tx:
        return [
            row
            for table in tables.metadata.sorted_tables
            if "project_id" in table.c
            for row in tx.rows(sa.select(table).where(table.c.project_id == OTHER_PROJECT))
        ]
