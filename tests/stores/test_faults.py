"""The stores over a network, through the faults of `fault_suite`."""

from collections.abc import Iterator

import pytest
from tests.stores.fake_swift import PASSWORD, USER, FakeSwift
from tests.stores.fault_suite import FaultSuite
from tests.stores.faults import FaultProxy, Refuse

from emberkeep.engine.repository import Repository
from emberkeep.stores.base import Store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.swift import SwiftStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable


class TestSwift(FaultSuite):
    @pytest.fixture
    def server(self) -> Iterator[str]:
        fake = FakeSwift()
        yield fake.url
        fake.close()

    def store_at(self, url: str, place: str) -> Store:
        options = StoreOptions(
            auth_url=f"{url}/auth/v1.0", username=USER, password=PASSWORD, timeout=0.5, retries=4
        )
        return SwiftStore(place, "", options, sleep=lambda _seconds: None)

    def test_a_restore_waits_for_segments_that_are_not_found_yet(
        self, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        waited: list[float] = []
        repository = Repository.create(
            store, a_key_manager(), ledger=a_ledger(), sleep=waited.append
        )
        domain = repository.create_domain()
        image = repeatable("image")(1 << 20)
        written = repository.back_up(Image(image), domain=domain, description={})
        rule = proxy.inject("GET", "/s/", Refuse(404), times=5)
        disk = Disk(len(image))
        repository.restore(domain, written.root, disk)
        assert bytes(disk.data) == image
        assert rule.struck == 5
        assert waited
