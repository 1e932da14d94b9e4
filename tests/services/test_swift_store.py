"""The Swift store at a real Swift, with tempauth and with a real Keystone."""

import json
import secrets
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from keystoneauth1.identity import V3Password
from keystoneauth1.session import Session
from swiftclient.client import put_container
from tests.services.keystone import Keystone
from tests.services.swift import Swift
from tests.stores.fault_suite import FaultSuite

from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectExists, StoreError, StoreFull
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.swift import SwiftStore
from emberkeep.testing.stores import StoreConformance

pytestmark = pytest.mark.slow


def options(swift: Swift) -> StoreOptions:
    return StoreOptions(
        auth_url=swift.auth_url,
        username=swift.user,
        password=swift.key,
        project_name=swift.project,
    )


def a_container() -> str:
    return f"emberkeep-{secrets.token_hex(6)}"


class TestTempauth(StoreConformance):
    @pytest.fixture
    def store(self, swift: Swift) -> Store:
        return SwiftStore(a_container(), "", options(swift))


class TestKeystone(StoreConformance):
    @pytest.fixture
    def store(self, swift_of_keystone: Swift) -> Store:
        return SwiftStore(a_container(), "a/prefix", options(swift_of_keystone))


class TestFaults(FaultSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, swift: Swift) -> str:
        return swift.s3_endpoint

    @classmethod
    def store_at(cls, url: str, place: str) -> Store:
        options = StoreOptions(
            auth_url=f"{url}/auth/v1.0",
            username="test:tester",
            password="testing",
            timeout=1,
            retries=4,
        )
        return SwiftStore(place, "", options, sleep=lambda _seconds: None)


def test_an_application_credential_logs_in(swift_of_keystone: Swift, keystone: Keystone) -> None:
    user = Session(
        V3Password(
            keystone.auth_url,
            user_id=keystone.user_id,
            password=keystone.password,
            project_id=keystone.project_id,
        )
    )
    made = user.post(
        f"{keystone.auth_url}/users/{keystone.user_id}/application_credentials",
        json={"application_credential": {"name": secrets.token_hex(4)}},
    ).json()["application_credential"]
    credential = StoreOptions(
        auth_url=keystone.auth_url,
        application_credential_id=made["id"],
        application_credential_secret=made["secret"],
        region_name=keystone.region,
    )
    store = SwiftStore(a_container(), "", credential)
    store.put("d/name", b"x")
    assert store.get("d/name") == b"x"


def test_a_token_that_is_no_longer_accepted_is_renewed(
    swift: Swift, swift_of_keystone: Swift
) -> None:
    for one in (swift, swift_of_keystone):
        store = SwiftStore(a_container(), "", options(one))
        store.put("d/name", b"x")
        plugin = store.account.login
        state = json.loads(plugin.get_auth_state() or "")
        state["auth_token"] = "expired"
        plugin.set_auth_state(json.dumps(state))
        assert store.get("d/name") == b"x"
        assert json.loads(plugin.get_auth_state() or "")["auth_token"] != "expired"


def test_a_wrong_secret_is_told(swift: Swift, swift_of_keystone: Swift) -> None:
    for one in (swift, swift_of_keystone):
        wrong = replace(options(one), password="wrong")
        with pytest.raises(StoreError, match="answered 401; check the user"):
            SwiftStore(a_container(), "", wrong).get("d/name")


def test_a_quota_is_told(swift: Swift) -> None:
    store = SwiftStore(a_container(), "", options(swift))
    quota = {"X-Container-Meta-Quota-Bytes": "100"}
    store.account.ask("quota", put_container, store.container, headers=quota)
    store.put("d/name", bytes(60))
    with pytest.raises(StoreFull):
        store.put("d/other", bytes(101))
    assert [item.name for item in store.list("")] == ["d/name"]


def test_a_large_object_is_refused_before_all_of_it_was_sent(swift: Swift) -> None:
    """Swift answers without reading what is still under way."""
    store = SwiftStore(a_container(), "", options(swift))
    store.put("d/name", b"first")
    with pytest.raises(ObjectExists):
        store.put("d/name", bytes(32 << 20))
    assert store.get("d/name") == b"first"


def test_servers_may_come_back_while_a_put_waits(swift: Swift) -> None:
    waited: list[float] = []

    def come_back(seconds: float) -> None:
        waited.append(seconds)
        for server in swift.servers.values():
            if server.process is None:
                server.start()

    store = SwiftStore(a_container(), "", options(swift), sleep=come_back)
    store.put("d/before", b"x")
    for down in ("object", "proxy"):
        waited.clear()
        swift.servers[down].stop()
        store.put(f"d/{down}", b"x")
        assert waited
        assert store.get(f"d/{down}") == b"x"
    assert urlsplit(store.account.endpoint()).path == "/v1/AUTH_test"
