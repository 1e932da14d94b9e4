"""A backup zone for each volume zone, a zone for backups only, and one store for all zones."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.stage import CALLER, Stage

from emberkeep.backups.service import Settings

DATA = b"wherever it is" * 1000
OWN: Mapping[str, str] = {"az1": "one", "az2": "two"}
VAULT: Mapping[str, str] = {"vault": "vault"}
SHARED: Mapping[str, str] = {"az1": "all", "az2": "all", "vault": "all"}


@pytest.mark.parametrize(
    ("zones", "default", "wanted"),
    [
        (OWN, "same-as-volume", {"az1": "az1", "az2": "az2"}),
        (OWN, "other-than-volume", {"az1": "az2", "az2": "az1"}),
        (VAULT, "vault", {"az1": "vault", "az2": "vault"}),
        (VAULT, "other-than-volume", {"az1": "vault", "az2": "vault"}),
        (SHARED, "same-as-volume", {"az1": "az1", "az2": "az2"}),
        (SHARED, "vault", {"az1": "vault", "az2": "vault"}),
    ],
)
@pytest.mark.parametrize("volume_zone", ["az1", "az2"])
@pytest.mark.parametrize("target_zone", ["az1", "az2"])
def test_backups_go_where_they_should_and_come_back_anywhere(
    tmp_path: Path,
    zones: Mapping[str, str],
    default: str,
    wanted: Mapping[str, str],
    volume_zone: str,
    target_zone: str,
) -> None:
    settings = Settings(enabled_zones=tuple(zones), default_availability_zone=default)
    with closing(Stage(tmp_path, zones=zones, settings=settings)) as stage:
        volume_id = stage.a_volume(DATA, zone=volume_zone)
        backup = stage.a_backup(volume_id)
        assert (backup.status, backup.availability_zone) == ("available", wanted[volume_zone])
        child = stage.a_backup(volume_id, incremental=True)
        assert child.availability_zone == backup.availability_zone
        target = stage.a_volume(zone=target_zone)
        used = zones[backup.availability_zone or ""]
        for name, store in stage.stores.items():
            store.away = name != used
        for asked in (target, None):
            restored = stage.restore(child.id, asked).volume_id
            stage.work()
            assert stage.volume_status(restored) == "available"
            assert stage.content(restored, len(DATA)) == DATA


def test_zones_with_one_store_share_what_is_stored(tmp_path: Path) -> None:
    settings = Settings(enabled_zones=tuple(SHARED))
    with closing(Stage(tmp_path, zones=SHARED, settings=settings)) as stage:
        volume_id = stage.a_volume(DATA)
        stage.a_backup(volume_id, availability_zone="az1")
        before = len(stage.stores["all"].names("/s/"))
        stage.a_backup(volume_id, availability_zone="vault")
        assert len(stage.stores["all"].names("/s/")) == before


def test_a_job_goes_to_who_reaches_both_ends(tmp_path: Path) -> None:
    with closing(Stage(tmp_path, zones=OWN)) as stage:
        volume_id = stage.a_volume(DATA)
        stage.create(volume_id, availability_zone="az2")
        assert not stage.worker("one only", zones=("az1",)).run_one()
        assert stage.worker("two only", zones=("az2",)).run_one() or stage.one.run_one()
        (backup,) = stage.backups.list(CALLER, stage.everything).items
        assert (backup.status, backup.availability_zone) == ("available", "az2")
