"""Who serves which zone, and who is alive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.databases import Clock, a_database

from emberkeep.backups import placement
from emberkeep.db import services
from emberkeep.db.database import Database, Transaction
from emberkeep.db.services import BACKUP, VOLUME, Worker

ONE = Worker("one", frozenset({"az1", "az2"}), frozenset({"r1"}), frozenset({"one@az1"}))
HOSTS = ["one@az1", "one@az2"]


def register(tx: Transaction) -> None:
    for host, binary, zone, repository in (
        ("one@az1", BACKUP, "az1", "r1"),
        ("one@az1", VOLUME, "az1", None),
        ("one@az2", BACKUP, "az2", "r2"),
    ):
        services.register(
            tx, host=host, binary=binary, availability_zone=zone, repository=repository
        )


def serve_az2(tx: Transaction, host: str) -> None:
    services.register(tx, host=host, binary=BACKUP, availability_zone="az2", repository="r2")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = a_database(tmp_path, clock=clock)
    with database.writing() as tx:
        register(tx)
        services.beat(tx, ONE, HOSTS)
    yield database
    database.close()


def test_a_registered_worker_is_alive_and_its_zones_are_up(database: Database) -> None:
    with database.reading() as tx:
        assert services.alive(tx) == [ONE]
        assert services.volume_zones(tx) == {"az1": True}
        backups = services.list_services(tx, BACKUP)
    shown = [(found.availability_zone, found.repository, found.host) for found in backups]
    assert shown == [("az1", "r1", "one@az1"), ("az2", "r2", "one@az2")]
    assert all(found.up and not found.disabled for found in backups)


def test_without_a_beat_for_a_minute_all_of_it_is_down(database: Database, clock: Clock) -> None:
    clock.pass_by(60)
    with database.reading() as tx:
        assert services.alive(tx) == [ONE]
    clock.pass_by(1)
    with database.reading() as tx:
        assert services.alive(tx) == []
        assert services.volume_zones(tx) == {"az1": False}
        assert not any(service.up for service in services.list_services(tx))
    with database.writing() as tx:
        services.beat(tx, ONE, HOSTS)
    with database.reading() as tx:
        assert services.alive(tx) == [ONE]
        assert all(service.up for service in services.list_services(tx))


def test_a_beat_is_of_one_worker_only(database: Database, clock: Clock) -> None:
    with database.writing() as tx:
        serve_az2(tx, "two@az2")
    clock.pass_by(61)
    with database.writing() as tx:
        services.beat(tx, replace(ONE, name="two"), ["two@az2"])
    with database.reading() as tx:
        up = [service.host for service in services.list_services(tx) if service.up]
    assert up == ["two@az2"]


def test_services_are_found_by_binary_and_host(database: Database) -> None:
    with database.reading() as tx:
        backups = services.list_services(tx, BACKUP)
        on_host = services.list_services(tx, host="one@az1")
        both = services.list_services(tx, VOLUME, "one@az2")
    assert [service.host for service in backups] == ["one@az1", "one@az2"]
    assert [service.binary for service in on_host] == [BACKUP, VOLUME]
    assert both == []


def test_registering_again_keeps_what_an_operator_disabled(database: Database) -> None:
    with database.writing() as tx:
        assert services.set_disabled(
            tx, host="one@az1", binary=BACKUP, disabled=True, reason="work on its disks"
        )
        register(tx)
    with database.reading() as tx:
        (service, _) = services.list_services(tx, host="one@az1")
    assert (service.disabled, service.disabled_reason) == (True, "work on its disks")


def test_disabling_what_is_not_there_says_so(database: Database) -> None:
    with database.writing() as tx:
        assert not services.set_disabled(
            tx, host="two@az1", binary=BACKUP, disabled=True, reason=None
        )


def test_zones_that_a_worker_serves_no_more_are_forgotten(database: Database) -> None:
    with database.writing() as tx:
        serve_az2(tx, "One@az2")
        services.forget_others(tx, HOSTS[:1], "one@")
    with database.reading() as tx:
        hosts = [service.host for service in services.list_services(tx)]
    assert hosts == ["One@az2", "one@az1", "one@az1"]


def serving_az2(tx: Transaction) -> str:
    return placement.require_service(tx, "az2").host


def test_a_zone_is_served_by_its_enabled_service_that_is_up(
    database: Database, clock: Clock
) -> None:
    clock.pass_by(61)
    with database.writing() as tx:
        serve_az2(tx, "two@az2")
    with database.reading() as tx:
        assert serving_az2(tx) == "two@az2"
    with database.writing() as tx:
        services.set_disabled(tx, host="two@az2", binary=BACKUP, disabled=True, reason=None)
    with database.reading() as tx:
        assert serving_az2(tx) == "one@az2"
