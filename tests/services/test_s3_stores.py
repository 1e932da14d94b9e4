"""The object stores against real servers."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import swiftclient
from tests.services.ceph import Ceph
from tests.services.s3 import S3, bucket, url
from tests.services.swift import Swift
from tests.stores.fault_suite import FaultSuite

from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.s3 import Place, S3Store
from emberkeep.testing.stores import StoreConformance

pytestmark = pytest.mark.slow

FAULTS = "faults"  # a bucket


def options(server: S3, **others: Any) -> StoreOptions:
    keys = {"access_key": server.s3_access_key, "secret_key": server.s3_secret_key}
    return StoreOptions(**{**keys, "retries": 2, **others})


class S3Conformance(StoreConformance):
    """The contract of all stores, and what an S3 service shall be asked or tell."""

    @pytest.fixture
    def store(self, server: S3) -> Store:
        return open_store(url(server), options(server))

    def test_a_large_object_is_put_and_read_in_parts(self, store: Store) -> None:
        data = random.Random(0).randbytes(32 << 20)
        store.put("d/large", memoryview(data))
        store.put("d/large", data)
        assert store.get("d/large") == data
        assert store.get("d/large", offset=5 << 20, length=1 << 20) == data[5 << 20 : 6 << 20]
        assert store.get("d/large", offset=-65536) == data[-65536:]

    def test_a_listing_of_many_pages(self, store: Store) -> None:
        names = sorted(f"d/{number % 7}/{number}" for number in range(250))
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: store.put(name, b""), names))
        assert [item.name for item in store.list("")] == names

    def test_nothing_is_seen_beside_the_prefix(self, server: S3) -> None:
        above = url(server)
        one, other = (open_store(f"{above}/{name}", options(server)) for name in ("1", "10"))
        one.put("d/name", b"one")
        other.put("d/name", b"other")
        assert one.get("d/name") == b"one"
        assert [item.size for item in one.list("d/")] == [3]

    def test_a_bucket_that_is_not_there_is_told(self, server: S3) -> None:
        store = open_store(f"s3+{server.s3_endpoint}/no-such-bucket", options(server))
        for ask in (
            lambda: store.put("d/name", b"x"),
            lambda: store.get("d/name"),
            lambda: list(store.list("")),
        ):
            with pytest.raises(StoreError, match="there is no bucket no-such-bucket; make it"):
                ask()

    def test_wrong_keys_are_told(self, server: S3) -> None:
        for wrong in ("access_key", "secret_key"):
            store = open_store(url(server), options(server, **{wrong: "a-wrong-one"}))
            with pytest.raises(StoreError, match="correct access_key") as refused:
                store.put("d/name", b"x")
            assert "a-wrong-one" not in str(refused.value)


class S3Faults(FaultSuite):
    """What must come right, or be told, when network and service fail."""

    KEYS: tuple[str, str]

    @classmethod
    def store_at(cls, url: str, place: str) -> Store:
        access_key, secret_key = cls.KEYS
        known = StoreOptions(access_key=access_key, secret_key=secret_key, timeout=1, retries=4)
        below = Place.of(f"s3+{url}/{FAULTS}/{place}")
        return S3Store(below, known, sleep=lambda _seconds: None)


class TestS3OfSwift(S3Conformance):
    @pytest.fixture
    def server(self, swift: Swift) -> Swift:
        return swift

    def test_a_full_container_is_told(self, swift: Swift) -> None:
        storage_url, token = swiftclient.get_auth(swift.auth_url, swift.user, swift.key)
        name = f"full-{uuid.uuid4()}"
        limit = {"X-Container-Meta-Quota-Bytes": "100"}
        swiftclient.put_container(storage_url, token, name, headers=limit)
        store = open_store(f"s3+{swift.s3_endpoint}/{name}", options(swift))
        with pytest.raises(StoreFull, match="raise the quota"):
            store.put("d/name", bytes(101))
        with pytest.raises(ObjectNotFound):
            store.get("d/name")

    def test_it_knows_no_encryption(self, swift: Swift) -> None:
        with pytest.raises(StoreError, match="unset sse"):
            open_store(url(swift), options(swift, sse="AES256")).put("d/name", b"x")


class TestS3OfCeph(S3Conformance):
    @pytest.fixture
    def server(self, ceph: Ceph) -> Ceph:
        return ceph

    def test_a_full_account_is_told(self, ceph: Ceph) -> None:
        store = open_store(url(ceph), options(ceph))
        ceph.limit(0)
        try:
            with pytest.raises(StoreFull, match="raise the quota"):
                store.put("d/name", bytes(9999))
        finally:
            ceph.limit(-1)
        with pytest.raises(ObjectNotFound):
            store.get("d/name")
        store.put("d/name", bytes(9999))

    def test_it_encrypts_with_the_key_that_is_named(self, ceph: Ceph) -> None:
        store = open_store(url(ceph), options(ceph, sse="aws:kms", sse_kms_key=ceph.kms_key))
        store.put("d/name", b"0123456789")
        assert store.get("d/name", offset=3, length=4) == b"3456"
        store = open_store(url(ceph), options(ceph, sse="aws:kms", sse_kms_key="no-such-key"))
        with pytest.raises(StoreError, match="sse_kms_key"):
            store.put("d/name", b"0123456789")

    def test_its_certificate_must_be_vouched_for(self, ceph: Ceph) -> None:
        tls = f"s3+{ceph.s3_tls_endpoint}/{bucket(ceph)}/{uuid.uuid4()}"
        open_store(tls, options(ceph, ca_file=str(ceph.ca_file))).put("d/name", b"x")
        with pytest.raises(StoreError, match="set ca_file"):
            open_store(tls, options(ceph)).get("d/name")


class TestFaultsOfSwift(S3Faults):
    KEYS = ("test:tester", "testing")

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, swift: Swift) -> str:
        bucket(swift, FAULTS)
        return swift.s3_endpoint


class TestFaultsOfCeph(S3Faults):
    KEYS = ("test", "testing")

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, ceph: Ceph) -> str:
        bucket(ceph, FAULTS)
        return ceph.s3_endpoint
