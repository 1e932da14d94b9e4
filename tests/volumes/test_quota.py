"""What a project may have of volumes and snapshots."""

import threading
from pathlib import Path

import pytest
from tests.volumes.kept import CALLER, LocalPlace, a_caller, create, snapshot

from emberkeep.db.database import Database
from emberkeep.db.paging import Query
from emberkeep.volumes.errors import (
    VolumeQuotaExceeded,
)
from emberkeep.volumes.local import VolumeRequest
from emberkeep.volumes.quota import VolumeQuotas


def in_threads(place: LocalPlace, count: int, size_gib: int) -> int:
    """How many of so many creates at once were accepted."""
    start, accepted = threading.Barrier(count), []
    unexpected: list[BaseException] = []

    def ask() -> None:
        start.wait()
        try:
            accepted.append(create(place, size_gib=size_gib))
        except VolumeQuotaExceeded:
            pass
        except BaseException as error:
            unexpected.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    return len(accepted)


@pytest.mark.parametrize(
    ("quotas", "size_gib"),
    [(VolumeQuotas(volumes=5, gigabytes=-1), 1), (VolumeQuotas(volumes=-1, gigabytes=17), 3)],
)
def test_many_at_once_never_get_more_than_the_quota(
    database: Database, tmp_path: Path, quotas: VolumeQuotas, size_gib: int
) -> None:
    place = LocalPlace(database, tmp_path / "volumes", quotas)
    assert in_threads(place, 16, size_gib) == 5


def test_what_exceeds_the_quota_says_which(database: Database, tmp_path: Path) -> None:
    quotas = VolumeQuotas(volumes=2, gigabytes=10, snapshots=1)
    place = LocalPlace(database, tmp_path / "volumes", quotas)
    first = place.a_volume(size_gib=4)
    with pytest.raises(VolumeQuotaExceeded) as caught:
        create(place, size_gib=7)
    assert str(caught.value) == (
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes "
        "quota. Requested 7G, quota is 10G and 4G has been consumed."
    )
    with pytest.raises(VolumeQuotaExceeded, match=r"Requested 7G, quota is 10G and 4G"):
        place.service.extend(CALLER, first, 11)
    assert place.status(first) == "available"
    place.a_volume(size_gib=1)
    with pytest.raises(VolumeQuotaExceeded) as caught:
        create(place, size_gib=1)
    assert str(caught.value) == (
        "VolumeLimitExceeded: Maximum number of volumes allowed (2) exceeded for quota 'volumes'."
    )
    snapshot(place, first)
    place.work()
    with pytest.raises(VolumeQuotaExceeded, match=r"Requested 4G, quota is 10G and 9G"):
        snapshot(place, first)
    place.service.delete(CALLER, first, cascade=True)
    place.work()
    place.a_snapshot(place.a_volume(size_gib=1))
    with pytest.raises(VolumeQuotaExceeded) as caught:
        place.a_snapshot(place.service.find(Query("p", limit=1))[0][0].id)
    assert str(caught.value) == (
        "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded"
    )


def test_quota_is_each_projects_own(database: Database, tmp_path: Path) -> None:
    place = LocalPlace(database, tmp_path / "volumes", VolumeQuotas(volumes=1))
    place.a_volume()
    with pytest.raises(VolumeQuotaExceeded):
        create(place, size_gib=1)
    place.service.create(a_caller("other"), VolumeRequest(size_gib=1))
