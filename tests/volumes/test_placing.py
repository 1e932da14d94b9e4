"""In which zone a new volume is made."""

from pathlib import Path

import pytest
from tests.volumes.kept import CALLER, LocalPlace, first_bytes
from tests.world import a_world

from emberkeep.config import ConfigurationError
from emberkeep.db.database import Database
from emberkeep.volumes.errors import InvalidInput, UnknownZone
from emberkeep.volumes.local import Placing, VolumeRequest


def made_in(place: LocalPlace, **asked: str) -> str:
    row = place.service.create(CALLER, VolumeRequest(size_gib=1, **asked))  # type: ignore[arg-type]
    place.work()
    return row.availability_zone


def test_where_it_is_asked_for_else_where_its_origin_is_else_the_default(
    place: LocalPlace,
) -> None:
    assert made_in(place) == "az1"
    assert made_in(place, availability_zone="az2") == "az2"
    origin = place.a_volume(availability_zone="az2")
    assert made_in(place, source_volid=origin) == "az2"
    assert made_in(place, snapshot_id=place.a_snapshot(origin)) == "az2"


def test_an_unknown_zone_is_refused_or_the_default_is_taken(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(UnknownZone, match=r"^Availability zone 'x' is invalid\.$"):
        made_in(LocalPlace(database, tmp_path), availability_zone="x")
    lenient = LocalPlace(database, tmp_path, placing=Placing(allow_fallback=True))
    assert made_in(lenient, availability_zone="x") == "az1"


@pytest.mark.parametrize("source", ["source_volid", "snapshot_id"])
def test_a_copy_may_be_in_another_zone_only_if_that_is_set(
    database: Database, tmp_path: Path, source: str
) -> None:
    strict = LocalPlace(database, tmp_path)
    origin = strict.a_volume(data=b"data")
    of = origin if source == "source_volid" else strict.a_snapshot(origin)
    with pytest.raises(InvalidInput, match="must be in the same availability zone as the"):
        made_in(strict, availability_zone="az2", **{source: of})
    lenient = LocalPlace(database, tmp_path, placing=Placing(same_zone=False))
    request = VolumeRequest(availability_zone="az2", **{source: of})  # type: ignore[arg-type]
    copy = lenient.service.create(CALLER, request).id
    lenient.work()
    assert lenient.status(copy) == "available"
    assert first_bytes(lenient.directory / "az2" / copy, 4) == b"data"


def test_an_operator_says_where_volumes_are_made(tmp_path: Path) -> None:
    conf = """
[DEFAULT]
default_availability_zone = az2
allow_availability_zone_fallback = true
cloned_volume_same_az = false
"""
    with a_world(tmp_path / "state", conf=conf) as world:
        assert world.a_volume(zone="").availability_zone == "az2"
        origin = world.a_volume(b"data", zone="nowhere")
        assert origin.availability_zone == "az2"
        request = VolumeRequest(source_volid=origin.id, availability_zone="az1")
        copy = world.volumes.create(world.caller, request).id
        world.work()
        assert world.volumes.show(copy).status == "available"
        assert world.content(copy, 4) == b"data"


def test_by_default_zones_are_as_cinder_has_them(tmp_path: Path) -> None:
    with a_world(tmp_path / "state") as world:
        assert world.a_volume(zone="").availability_zone == "az1"
        with pytest.raises(UnknownZone):
            world.a_volume(zone="nowhere")
        request = VolumeRequest(source_volid=world.a_volume().id, availability_zone="az2")
        with pytest.raises(InvalidInput):
            world.volumes.create(world.caller, request)


def test_the_default_zone_has_volumes(tmp_path: Path) -> None:
    conf = "[DEFAULT]\ndefault_availability_zone = az2\n[zone:az2]\nvolumes = none\n"
    with (
        pytest.raises(ConfigurationError, match="default_availability_zone: no zone 'az2' with"),
        a_world(tmp_path / "state", conf=conf),
    ):
        pass
