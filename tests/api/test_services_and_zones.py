"""Where things are: availability zones and services, Cinder's way and our own."""

from datetime import datetime

import pytest

LONG_AGO = datetime(2020, 1, 1)
MEMBER = {"roles": "member,reader"}


@pytest.fixture
def two_zones(rows):
    """az1 has volumes and takes backups; the worker of az2 has been silent for long."""
    rows.service(host="w@az1", availability_zone="az1")
    rows.service(host="w@az1", availability_zone="az1", binary="cinder-volume", repository=None)
    rows.service(host="w@az2", availability_zone="az2", heartbeat_at=LONG_AGO)
    rows.service(
        host="w@az2",
        availability_zone="az2",
        binary="cinder-volume",
        repository=None,
        heartbeat_at=LONG_AGO,
        disabled=True,
        disabled_reason="moved",
    )


def test_cinders_zones_are_those_with_volumes(api, rows, two_zones):
    rows.service(host="w@vault", availability_zone="vault")
    answer = api.get("/v3/os-availability-zone", roles="someone")
    assert answer.status_code == 200
    assert answer.json == {
        "availabilityZoneInfo": [
            {"zoneName": "az1", "zoneState": {"available": True}},
            {"zoneName": "az2", "zoneState": {"available": False}},
        ]
    }


def test_our_own_zones_say_which_take_backups(api, two_zones):
    answer = api.get("/emberkeep/v1/zones", **MEMBER)
    assert answer.json == {
        "zones": [
            {"name": "az1", "backups": True, "volumes": True, "up": True},
            {"name": "az2", "backups": True, "volumes": True, "up": False},
        ]
    }


def test_services_are_for_admins(api):
    answer = api.get("/v3/os-services", **MEMBER)
    assert answer.status_code == 403
    assert answer.json["forbidden"]["message"] == (
        "Policy doesn't allow volume_extension:services:index to be performed."
    )


def test_a_service_says_whether_it_lives(api, two_zones):
    services = api.get("/v3/os-services?host=w@az2", version="3.0").json["services"]
    old = {
        "host": "w@az2",
        "zone": "az2",
        "state": "down",
        "updated_at": "2020-01-01T00:00:00.000000",
    }
    assert services == [
        old | {"binary": "cinder-backup", "status": "enabled", "disabled_reason": None},
        old
        | {
            "binary": "cinder-volume",
            "status": "disabled",
            "disabled_reason": "moved",
            "replication_status": "disabled",
            "active_backend_id": None,
            "frozen": False,
        },
    ]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 4),
        ("host=", 4),
        ("host=w", 4),
        ("host=w@az", 0),
        ("host=x", 0),
        ("binary=", 0),
        ("binary=cinder-backup", 2),
        ("binary=cinder-backup&host=w@az1", 1),
    ],
)
def test_services_can_be_picked(api, two_zones, query, number):
    assert len(api.get(f"/v3/os-services?{query}").json["services"]) == number


@pytest.mark.parametrize(
    ("version", "added"),
    [("3.6", set()), ("3.7", {"cluster"}), ("3.49", {"cluster", "backend_state"})],
)
def test_later_microversions_say_more_of_a_service(api, two_zones, version, added):
    path = "/v3/os-services?binary=cinder-volume&host=w@az1"
    (service,) = api.get(path, version=version).json["services"]
    assert set(service) & {"cluster", "backend_state"} == added


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v3/os-services/freeze"),
        ("PUT", "/v3/os-services/thaw"),
        ("PUT", "/v3/os-services/w@az1"),
        ("POST", "/v3/os-services"),
        ("GET", "/v3/os-services/w@az1"),
    ],
)
def test_services_have_no_other_routes(api, two_zones, method, path):
    answer = api.request(method, path, {} if method != "GET" else None)
    assert (answer.status_code, answer.headers["content-type"][:10]) == (404, "text/plain")


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def states(api, **query):
    path = "&".join(f"{name}={value}" for name, value in query.items())
    found = api.get(f"/v3/os-services?{path}").json["services"]
    return [(one["host"], one["status"], one["disabled_reason"]) for one in found]


AZ1 = {"host": "w@az1", "binary": "cinder-backup"}
MISSING = "Invalid input received: Host field is missing."


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "{} is not valid under any of the given schemas"),
        ({"host": "h"}, 400, "{'host': 'h'} is not valid under any of the given schemas"),
        ({"binary": "cinder-backup"}, 400, MISSING),
        ({"binary": "cinder-backup", "host": None}, 400, MISSING),
        (
            {"binary": "b", "host": "h", "x": 1},
            400,
            "Additional properties are not allowed ('x' was unexpected)",
        ),
        (
            {"binary": "b", "host": ""},
            400,
            "Invalid input for field/attribute host. Value: . '' should be non-empty",
        ),
        (
            {"binary": "b", "host": "h h"},
            400,
            "Invalid input for field/attribute host. Value: h h. 'h h' does not match "
            r"'^[a-zA-Z0-9-._#@:/+\\[\\]]*$'",
        ),
        ({"binary": "b", "host": "h"}, 404, "Service b could not be found on host h."),
        ({"service": "b", "host": "h"}, 404, "Service b could not be found on host h."),
        ({**AZ1, "host": "w@az"}, 404, "Service cinder-backup could not be found on host w@az."),
        ([], 400, "[] is not of type 'object'"),
    ],
)
@pytest.mark.parametrize("action", ["enable", "disable", "disable-log-reason"])
def test_who_is_to_be_disabled_must_be_said(api, two_zones, action, body, status, words):
    assert message(api.put(f"/v3/os-services/{action}", body)) == (status, words)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "Value: None. None is not of type 'string'"),
        ("", "Value: . '' should be non-empty"),
        ("  ", "Value:   . '  ' is not a 'disabled_reason'"),
    ],
)
def test_a_reason_must_say_something(api, two_zones, reason, words):
    answer = api.put("/v3/os-services/disable-log-reason", {**AZ1, "disabled_reason": reason})
    assert message(answer) == (400, f"Invalid input for field/attribute disabled_reason. {words}")


def test_only_admins_disable(api, two_zones):
    for action in ("enable", "disable", "disable-log-reason"):
        assert message(api.put(f"/v3/os-services/{action}", AZ1, **MEMBER)) == (
            403,
            "Policy doesn't allow volume_extension:services:update to be performed.",
        )


def test_a_service_is_disabled_and_enabled_at_once(api, two_zones):
    answer = api.put("/v3/os-services/disable", AZ1)
    assert (answer.status_code, answer.json) == (
        200,
        {**AZ1, "service": "", "status": "disabled", "disabled": True},
    )
    assert states(api, **AZ1) == [("w@az1", "disabled", None)]
    reason = {"disabled_reason": "its disks"}
    answer = api.put("/v3/os-services/disable-log-reason", AZ1 | reason)
    assert answer.json == {
        **AZ1,
        "service": "",
        "status": "disabled",
        "disabled": True,
        "disabled_reason": "its disks",
    }
    api.put("/v3/os-services/disable", AZ1)
    assert states(api, **AZ1) == [("w@az1", "disabled", "its disks")]
    answer = api.put("/v3/os-services/enable", {"host": "w@az1", "service": "cinder-backup"})
    assert answer.json == {
        "host": "w@az1",
        "service": "cinder-backup",
        "binary": "",
        "status": "enabled",
        "disabled": False,
    }
    assert states(api, **AZ1) == [("w@az1", "enabled", None)]
    assert states(api, host="w@az2", binary="cinder-backup") == [("w@az2", "enabled", None)]


def test_a_host_is_all_that_is_on_it(api, two_zones):
    api.put("/v3/os-services/disable", {"host": "w", "binary": "cinder-backup"})
    assert [status for _, status, _ in states(api, binary="cinder-backup")] == ["disabled"] * 2


def test_a_disabled_service_gets_no_new_backups(api, rows, two_zones):
    api.put("/v3/os-services/disable", AZ1)
    backup = api.post("/v3/backups", {"backup": {"volume_id": rows.volume()}}).json["backup"]
    shown = api.get(f"/v3/backups/{backup['id']}").json["backup"]
    assert (shown["status"], shown["fail_reason"]) == (
        "error",
        "Service not found for creating backup.",
    )
    old = rows.backup()
    assert message(api.delete(f"/v3/backups/{old}")) == (
        404,
        "Service cinder-backup could not be found.",
    )
    api.put("/v3/os-services/enable", AZ1)
    backup = api.post("/v3/backups", {"backup": {"volume_id": rows.volume()}}).json["backup"]
    assert api.get(f"/v3/backups/{backup['id']}").json["backup"]["status"] == "creating"


def test_a_zone_whose_volume_services_are_disabled_is_not_available(api, rows, two_zones):
    az1 = {"host": "w@az1", "binary": "cinder-volume"}
    api.put("/v3/os-services/disable", az1)
    zones = api.get("/v3/os-availability-zone").json["availabilityZoneInfo"]
    assert [zone["zoneState"]["available"] for zone in zones] == [False, False]
    backup = api.post("/v3/backups", {"backup": {"volume_id": rows.volume()}}).json["backup"]
    assert api.get(f"/v3/backups/{backup['id']}").json["backup"]["status"] == "creating"
    api.put("/v3/os-services/enable", az1)
    zones = api.get("/v3/os-availability-zone").json["availabilityZoneInfo"]
    assert [zone["zoneState"]["available"] for zone in zones] == [True, False]


def test_a_volume_that_no_service_takes_is_in_error_and_told(api, two_zones):
    made = api.post("/v3/volumes", {"volume": {"size": 1, "availability_zone": "az2"}})
    assert (made.status_code, made.json["volume"]["status"]) == (202, "creating")
    volume_id = made.json["volume"]["id"]
    assert api.get(f"/v3/volumes/{volume_id}").json["volume"]["status"] == "error"
    (told,) = api.get("/v3/messages").json["messages"]
    assert (told["event_id"], told["resource_type"], told["resource_uuid"]) == (
        "VOLUME_VOLUME_001_003",
        "VOLUME",
        volume_id,
    )
    assert told["user_message"] == (
        "schedule allocate volume:Could not find any available weighted backend."
    )
    assert told["request_id"] == made.headers["x-openstack-request-id"]
    other = api.post("/v3/volumes", {"volume": {"size": 1, "availability_zone": "az1"}})
    shown = api.get(f"/v3/volumes/{other.json['volume']['id']}").json["volume"]
    assert shown["status"] == "creating"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("POST", "/restore", {"restore": {}}),
        ("GET", "/export_record", None),
        ("POST", "/action", {"os-reset_status": {"status": "error"}}),
        ("POST", "/action", {"os-force_delete": None}),
    ],
)
def test_nothing_is_done_to_backups_of_a_zone_without_an_enabled_service(
    api, rows, two_zones, method, path, body
):
    backup = rows.backup()
    api.put("/v3/os-services/disable", AZ1)
    assert message(api.request(method, f"/v3/backups/{backup}{path}", body)) == (
        404,
        "Service cinder-backup could not be found.",
    )
    rows.service(host="x@az1", availability_zone="az1")
    assert api.request(method, f"/v3/backups/{backup}{path}", body).status_code in (200, 202)


def test_nothing_is_imported_while_all_services_are_disabled(api, rows, two_zones):
    record = api.get(f"/v3/backups/{rows.backup()}/export_record").json
    api.put("/v3/os-services/disable", {"host": "w", "binary": "cinder-backup"})
    service = record["backup-record"]["backup_service"]
    assert message(api.post("/v3/backups/import_record", record)) == (
        503,
        f"Service {service} could not be found.",
    )
