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
            "replication_status": None,
            "active_backend_id": None,
            "frozen": False,
        },
    ]


@pytest.mark.parametrize(
    ("query", "number"),
    [("", 4), ("binary=cinder-backup", 2), ("binary=cinder-backup&host=w@az1", 1), ("host=x", 0)],
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
