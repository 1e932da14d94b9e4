"""Volume back ends for the operator: capabilities and pools."""

from datetime import datetime

import pytest

import emberkeep
from emberkeep.db import services

LONG_AGO = datetime(2020, 1, 1)
POOLS = "/v3/scheduler-stats/get_pools"
MEMBER = {"roles": "member,reader"}


def message(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


@pytest.fixture
def hosts(database, rows):
    """A host with two back ends, of which one is disabled, and one that was not heard of lately."""
    volume = {"binary": "cinder-volume", "repository": None}
    rows.service(host="w.example.com@az1", availability_zone="az1", **volume)
    rows.service(host="w.example.com@az2", availability_zone="az2", disabled=True, **volume)
    rows.service(host="gone@az1", availability_zone="az1", heartbeat_at=LONG_AGO, **volume)
    with database.writing() as tx:
        for name, zones in (("w.example.com", ("az1", "az2")), ("gone", ("az1",))):
            backends = frozenset(f"{name}@{zone}#files" for zone in zones)
            services.beat(tx, services.Worker(name, frozenset(zones), frozenset(), backends), [])
    rows.volume(backend="w.example.com@az1#files", size=3)
    rows.volume(backend="w.example.com@az1#files", size=4)
    rows.volume(backend="w.example.com@az1#files", size=100, deleted=True)
    rows.volume(backend="w.example.com@az2#files", size=100)


def test_pools_are_what_takes_volumes_now(api, hosts):
    answer = api.get(POOLS)
    assert (answer.status_code, answer.json) == (
        200,
        {"pools": [{"name": "w.example.com@az1#files"}]},
    )


def test_details_say_what_is_known_of_a_pool(api, hosts):
    (pool,) = api.get(f"{POOLS}?detail=True").json["pools"]
    found = pool["capabilities"]
    assert datetime.fromisoformat(found.pop("timestamp")).year > 2020
    assert found == {
        "volume_backend_name": "az1",
        "vendor_name": "Open Source",
        "driver_version": emberkeep.__version__,
        "storage_protocol": "file",
        "total_capacity_gb": "unknown",
        "free_capacity_gb": "unknown",
        "reserved_percentage": 0,
        "QoS_support": False,
        "provisioned_capacity_gb": 7,
        "thin_provisioning_support": True,
        "thick_provisioning_support": False,
        "allocated_capacity_gb": 7,
        "filter_function": None,
        "goodness_function": None,
    }


@pytest.mark.parametrize(
    ("version", "query", "number"),
    [
        ("3.27", "name=x&y=z", 1),
        ("3.28", "name=x", 0),
        ("3.28", "name=w.example.com@az1%23files", 1),
        ("3.28", "y=z", 0),
        ("3.34", "volume_type=x", 1),
        ("3.35", "volume_type=__DEFAULT__", 1),
    ],
)
def test_pools_can_be_picked_from_3_28_on(api, hosts, version, query, number):
    assert len(api.get(f"{POOLS}?{query}", version=version).json["pools"]) == number


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("detail=x", 400, "Value 'x' for 'detail' is not a boolean."),
        ("y=z", 400, "Invalid filters y are found in query options."),
        ("volume_type=x", 404, "Volume type with name x could not be found."),
    ],
)
def test_what_cannot_be_understood_is_refused(api, hosts, query, status, words):
    assert message(api.get(f"{POOLS}?{query}")) == (status, words)


@pytest.mark.parametrize("host", ["w.example.com@az1", "w.example.com@az1.json"])
def test_a_back_end_says_what_it_can_do(api, hosts, host):
    answer = api.get(f"/v3/capabilities/{host}")
    assert answer.status_code == 200
    properties = answer.json.pop("properties")
    assert answer.json | {"properties": {}} == {
        "namespace": "OS::Storage::Capabilities::w.example.com@az1",
        "vendor_name": "Open Source",
        "volume_backend_name": "az1",
        "pool_name": None,
        "driver_version": emberkeep.__version__,
        "storage_protocol": "file",
        "display_name": None,
        "description": None,
        "visibility": None,
        "replication_targets": [],
        "properties": {},
    }
    assert properties["qos"] == {"title": "QoS", "description": "Enables QoS.", "type": "boolean"}


def test_a_hosts_name_finds_its_first_back_end(api, hosts):
    found = api.get("/v3/capabilities/w.example.com").json
    assert found["namespace"] == "OS::Storage::Capabilities::w.example.com@az1"


@pytest.mark.parametrize("host", ["x", "w", "w.example.com@az"])
def test_an_unknown_back_end_is_not_found(api, hosts, host):
    answer = api.get(f"/v3/capabilities/{host}")
    assert message(answer) == (404, f"Can't find service: {host}")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (POOLS, "scheduler_extension:scheduler_stats:get_pools"),
        ("/v3/capabilities/x", "volume_extension:capabilities"),
    ],
)
def test_back_ends_are_for_admins(api, path, rule):
    words = f"Policy doesn't allow {rule} to be performed."
    assert message(api.get(f"{path}?detail=x", **MEMBER)) == (403, words)


@pytest.mark.parametrize(
    "path", ["/v3/scheduler-stats", "/v3/scheduler-stats/x", "/v3/capabilities"]
)
def test_there_is_no_more_to_see(api, path):
    assert message(api.get(path)) == (404, "The resource could not be found.")
