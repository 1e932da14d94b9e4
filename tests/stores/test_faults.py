"""The stores over a network, through the faults of `fault_suite`."""

from collections.abc import Iterator

import pytest
from tests.stores.fake_s3 import BUCKET, FakeS3
from tests.stores.fake_swift import PASSWORD, USER, FakeSwift
from tests.stores.fault_suite import FaultSuite, Site
from tests.stores.faults import Refuse

from emberkeep.engine.repository import Repository
from emberkeep.stores.base import Store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.s3 import Place, S3Store
from emberkeep.stores.swift import SwiftStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable


class TestSwift(FaultSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[str]:
        fake = FakeSwift()
        yield fake.url
        fake.close()

    @classmethod
    def store_at(cls, url: str, place: str) -> Store:
        options = StoreOptions(
            auth_url=f"{url}/auth/v1.0", username=USER, password=PASSWORD, timeout=0.5, retries=4
        )
        return SwiftStore(place, "", options, sleep=lambda _seconds: None)

    def test_a_restore_waits_for_segments_that_are_not_found_yet(self, empty_site: Site) -> None:
        site = empty_site
        waited: list[float] = []
        repository = Repository.create(
            site.store, a_key_manager(), ledger=a_ledger(), sleep=waited.append
        )
        domain = repository.create_domain()
        image = repeatable("image")(1 << 20)
        written = repository.back_up(Image(image), domain=domain, description={})
        rule = site.proxy.inject("GET", "/s/", Refuse(404), times=5)
        disk = Disk(len(image))
        repository.restore(domain, written.root, disk)
        assert bytes(disk.data) == image
        assert rule.struck == 5
        assert waited


class TestS3(FaultSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[str]:
        with FakeS3() as service:
            yield service.url.removeprefix("s3+").removesuffix(f"/{BUCKET}")

    @classmethod
    def store_at(cls, url: str, place: str) -> Store:
        options = StoreOptions(access_key="key", secret_key="secret", timeout=0.5, retries=4)
        return S3Store(Place.of(f"s3+{url}/{BUCKET}/{place}"), options, sleep=lambda _seconds: None)
