"""What is Swift's own in the contract of `stores.base`."""

import hashlib
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.certificates import certificates
from tests.stores.fake_swift import APPLICATION_SECRET, PASSWORD, USER, FakeSwift
from tests.stores.faults import (
    ALWAYS,
    ChangeAnswer,
    ChangeRequest,
    FaultProxy,
    Refuse,
    Repeat,
)

from emberkeep.stores.base import Store, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.swift import SwiftStore
from emberkeep.testing.stores import StoreConformance

OBJECT = "/d/name$"


@pytest.fixture
def swift() -> Iterator[FakeSwift]:
    fake = FakeSwift()
    yield fake
    fake.close()


@pytest.fixture
def proxy(swift: FakeSwift) -> Iterator[FaultProxy]:
    with FaultProxy(swift.url) as proxy:
        yield proxy


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the store waited between attempts."""
    return []


@pytest.fixture
def store(proxy: FaultProxy, waits: list[float]) -> SwiftStore:
    return a_store(tempauth(proxy.url), waits)


def a_store(
    options: StoreOptions, waits: list[float] | None = None, *, prefix: str = "az1/here"
) -> SwiftStore:
    waits = [] if waits is None else waits
    return SwiftStore("backups", prefix, options, sleep=waits.append)


def tempauth(url: str) -> StoreOptions:
    return StoreOptions(auth_url=f"{url}/auth/v1.0", username=USER, password=PASSWORD, timeout=5)


def keystone(url: str) -> StoreOptions:
    return replace(tempauth(url), auth_url=f"{url}/v3", project_name="p")


def application(url: str) -> StoreOptions:
    return StoreOptions(
        auth_url=f"{url}/v3/",
        application_credential_id="i",
        application_credential_secret=APPLICATION_SECRET,
        timeout=5,
    )


EVERY_LOGIN = pytest.mark.parametrize(
    ("login", "method"),
    [(tempauth, "v1"), (keystone, "password"), (application, "application_credential")],
)
Login = Callable[[str], StoreOptions]


class TestConformance(StoreConformance):
    @pytest.fixture
    def store(self, swift: FakeSwift) -> Store:
        return a_store(tempauth(swift.url))


class TestConformanceWithoutPrefix(StoreConformance):
    @pytest.fixture
    def store(self, swift: FakeSwift) -> Store:
        return a_store(keystone(swift.url), prefix="")


@EVERY_LOGIN
def test_every_way_to_log_in(swift: FakeSwift, login: Login, method: str) -> None:
    store = a_store(login(swift.url))
    store.put("d/name", b"x")
    assert store.get("d/name") == b"x"
    assert swift.state.logins == [method]


@EVERY_LOGIN
def test_an_expired_token_is_renewed_once_whoever_needs_it(
    swift: FakeSwift, login: Login, method: str
) -> None:
    store = a_store(login(swift.url))
    store.put("d/name", b"x")
    swift.expire_tokens()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _n: store.get("d/name"), range(8))) == {b"x"}
    assert swift.state.logins == [method, method]


def test_a_wrong_password_is_told_without_telling_it(swift: FakeSwift) -> None:
    wrong = replace(tempauth(swift.url), password="a-wrong-one")
    with pytest.raises(StoreError, match=r"login at 127.0.0.1:\d+: answered 401; check") as error:
        a_store(wrong).get("d/name")
    assert "a-wrong-one" not in repr(error.value)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (StoreOptions(), "auth_url"),
        (StoreOptions(auth_url="http://h/v3"), "username and password and project_name"),
        (StoreOptions(auth_url="http://h/v3", username="u", password="p"), "project_name"),
        (StoreOptions(auth_url="http://h/auth/v1.0", username="u"), "set password$"),
        (
            StoreOptions(auth_url="http://h/v3", application_credential_id="i"),
            "application_credential_secret",
        ),
        (StoreOptions(auth_url="http://h/v2.0", username="u", password="p"), "ends in /v3"),
        (StoreOptions(auth_url="h/v3", username="u", password="p"), "ends in /v3"),
        (StoreOptions(auth_url="http://u:p@h/v3"), "auth_url: write http"),
    ],
)
def test_what_is_missing_to_log_in_is_named(options: StoreOptions, missing: str) -> None:
    with pytest.raises(StoreError, match=missing):
        a_store(options)


def test_a_catalog_without_the_region_is_told(swift: FakeSwift) -> None:
    store = a_store(replace(keystone(swift.url), region_name="two"))
    with pytest.raises(StoreError, match="no public object-store endpoint in region two"):
        store.stat("d/name")


@pytest.mark.parametrize(
    "url", ["swift:///", "swift://host/backups", "swift:///backups?x", "swift:///" + "x" * 257]
)
def test_what_is_no_container_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"swift:///CONTAINER|no name of a Swift container"):
        open_store(url, tempauth("http://h"))


def test_a_url_names_container_and_prefix(swift: FakeSwift) -> None:
    open_store("swift:///My%20backups/az1/here/", tempauth(swift.url)).put("d/name", b"x")
    assert swift.state.containers == {"My backups": {"az1/here/d/name": b"x"}}


def test_the_container_is_made_by_the_first_put(swift: FakeSwift, store: SwiftStore) -> None:
    with pytest.raises(ObjectNotFound):
        store.get("d/name")
    assert list(store.list("")) == []
    store.delete("d/name")
    assert swift.state.containers == {}
    store.put("d/name", b"x")
    assert swift.state.containers == {"backups": {"az1/here/d/name": b"x"}}


def test_others_in_the_container_are_left_alone(swift: FakeSwift, store: SwiftStore) -> None:
    others = {"az1/here/Read Me": b"", "az1/here/d/": b"", "az1/hereabouts": b"", "d/name": b""}
    swift.state.containers["backups"] = dict(others)
    store.put("d/name", b"x")
    assert list(store.list("")) == [StoredObject("d/name", 1)]
    store.delete("d/name")
    assert swift.state.containers["backups"] == others


def test_a_404_is_believed_when_the_newest_copy_was_asked_for(
    proxy: FaultProxy, store: SwiftStore
) -> None:
    store.put("d/name", b"x")
    proxy.record.requests.clear()
    for method, verb in (("GET", store.get), ("HEAD", store.stat)):
        proxy.inject(method, OBJECT, Refuse(404))
        verb("d/name")
        asked = [headers.get("X-Newest") for headers in proxy.record.headers(method, OBJECT)]
        assert asked == [None, "true"]


def test_a_put_that_may_lie_on_too_few_disks_is_put_over_itself(
    proxy: FaultProxy, store: SwiftStore
) -> None:
    """Otherwise `If-None-Match` would refuse for ever what is not durable yet."""
    store.put("d/name", b"x")
    proxy.record.requests.clear()
    proxy.inject("PUT", OBJECT, Refuse(503))
    store.put("d/name", b"x")
    conditions = [h.get("If-None-Match") for h in proxy.record.headers("PUT", OBJECT)]
    assert conditions == ["*", None]


@pytest.mark.parametrize("kept", [None, b"other"])
def test_a_202_is_no_success(
    swift: FakeSwift, proxy: FaultProxy, store: SwiftStore, kept: bytes | None
) -> None:
    """Swift's answer when it has seen a later request for the name: nothing was stored."""
    swift.state.containers["backups"] = {} if kept is None else {"az1/here/d/name": kept}
    rule = proxy.inject("PUT", OBJECT, Refuse(202))
    if kept is None:
        store.put("d/name", b"x")
        assert store.get("d/name") == b"x"
    else:
        with pytest.raises(ObjectExists):
            store.put("d/name", b"x")
    assert rule.struck == 1


def test_bytes_that_change_on_their_way_are_sent_again(
    swift: FakeSwift, proxy: FaultProxy, store: SwiftStore
) -> None:
    sent = proxy.inject("PUT", OBJECT, ChangeRequest(_changed))
    store.put("d/name", b"abc")
    assert swift.state.containers["backups"] == {"az1/here/d/name": b"abc"}
    got = proxy.inject("GET", OBJECT, ChangeAnswer(_changed))
    assert store.get("d/name") == b"abc"
    assert (sent.struck, got.struck) == (1, 1)


def test_a_server_that_stores_other_bytes_is_told(proxy: FaultProxy, store: SwiftStore) -> None:
    other = hashlib.md5(b"other").hexdigest()
    store.put("d/before", b"x")
    proxy.inject("PUT", OBJECT, Refuse(201, (("ETag", other),)))
    with pytest.raises(StoreError, match="stored other bytes"):
        store.put("d/name", b"abc")


def test_other_bytes_than_were_asked_for_are_not_returned(
    proxy: FaultProxy, store: SwiftStore
) -> None:
    store.put("d/name", b"0123456789")
    assert store.get("d/name", offset=1, length=2) == b"12"
    other = proxy.record.first("GET", OBJECT)
    rule = proxy.inject("GET", OBJECT, Repeat(other))
    assert store.get("d/name", offset=5, length=2) == b"56"
    assert rule.struck == 1


def test_a_short_answer_that_announces_itself_as_whole_is_not_returned(
    proxy: FaultProxy, store: SwiftStore
) -> None:
    store.put("d/name", b"0123456789")
    rule = proxy.inject("GET", OBJECT, ChangeAnswer(lambda body: body[:-1]), times=2)
    assert store.get("d/name") == b"0123456789"
    proxy.inject("GET", OBJECT, ChangeAnswer(lambda body: body[:-1]))
    assert store.get("d/name", offset=5) == b"56789"
    assert rule.struck == 2


def test_a_whole_object_in_place_of_a_range_is_cut(proxy: FaultProxy, store: SwiftStore) -> None:
    store.put("d/name", b"0123456789")
    store.get("d/name")
    whole = proxy.record.first("GET", OBJECT)
    rule = proxy.inject("GET", OBJECT, Repeat(whole), times=3)
    assert store.get("d/name", offset=5, length=2) == b"56"
    assert store.get("d/name", offset=-4, length=2) == b"67"
    assert store.get("d/name", offset=-40) == b"0123456789"
    assert rule.struck == 3


def test_a_listing_comes_in_pages_none_twice(proxy: FaultProxy, store: SwiftStore) -> None:
    names = [f"d/{number:02}" for number in range(11)]
    for name in names:
        store.put(name, b"x")
    assert [item.name for item in store.list("d/")] == names
    assert len(proxy.record.headers("GET", "prefix=")) == 4
    page = proxy.record.first("GET", "prefix=")
    rule = proxy.inject("GET", "marker=", Repeat(page))
    assert [item.name for item in store.list("d/")] == names
    assert rule.struck == 1
    proxy.inject("GET", "marker=", Repeat(page), times=ALWAYS)
    with pytest.raises(StoreError, match="not what comes after"):
        list(store.list("d/"))


@pytest.mark.parametrize("change", [lambda body: body[:-5], lambda _body: b"[{}]"])
def test_a_listing_that_is_cut_is_asked_for_again(
    proxy: FaultProxy, store: SwiftStore, change: object
) -> None:
    store.put("d/name", b"x")
    rule = proxy.inject("GET", "prefix=", ChangeAnswer(change))  # type: ignore[arg-type]
    assert [item.name for item in store.list("d/")] == ["d/name"]
    assert rule.struck == 1


def test_a_quota_that_is_reached_is_told_and_leaves_nothing(
    swift: FakeSwift, store: SwiftStore
) -> None:
    store.put("d/before", b"x")
    swift.state.quota = 10
    with pytest.raises(StoreFull, match="no room, or a quota is reached"):
        store.put("d/name", b"0123456789")
    assert [item.name for item in store.list("")] == ["d/before"]
    swift.state.quota = 11
    store.put("d/name", b"0123456789")


def test_disks_that_are_full_are_told(proxy: FaultProxy, store: SwiftStore) -> None:
    proxy.inject("PUT", OBJECT, Refuse(507))
    with pytest.raises(StoreFull):
        store.put("d/name", b"x")


def test_a_refusal_says_what_to_do_and_is_not_repeated(
    proxy: FaultProxy, store: SwiftStore
) -> None:
    rule = proxy.inject("GET", OBJECT, Refuse(403), times=ALWAYS)
    with pytest.raises(StoreError, match=r"answered 403.*give the user a role"):
        store.get("d/name")
    assert rule.struck == 1


def test_waits_grow_and_are_never_shorter_than_asked_for(
    proxy: FaultProxy, store: SwiftStore, waits: list[float]
) -> None:
    store.put("d/before", b"x")
    waits.clear()
    proxy.inject("GET", "/d/before", Refuse(503), times=4)
    store.get("d/before")
    assert all(
        low <= wait <= 2 * low for wait, low in zip(waits, [0.125, 0.25, 0.5, 1], strict=True)
    )
    waits.clear()
    proxy.inject("GET", "/d/before", Refuse(429, (("Retry-After", "7"),)))
    store.get("d/before")
    assert 7 <= waits[0] < 8
    proxy.inject("GET", "/d/before", Refuse(503, (("Retry-After", "3600"),)))
    with pytest.raises(StoreError, match="left alone for 3600 seconds"):
        store.get("d/before")


def test_nobody_there_is_told_with_the_reason(swift: FakeSwift) -> None:
    with FaultProxy(swift.url) as proxy:
        store = a_store(tempauth(proxy.url))
        store.put("d/name", b"x")
    with pytest.raises(StoreError, match=r"127.0.0.1:\d+: Connection refused; given up after 9"):
        store.get("d/name")
    with pytest.raises(StoreError, match=r"login at 127.0.0.1:\d+: .*Connection refused"):
        a_store(tempauth(proxy.url)).get("d/name")


def test_connections_are_bounded_and_used_again(proxy: FaultProxy) -> None:
    store = a_store(replace(tempauth(proxy.url), connections=2))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: store.put(f"d/{n}", bytes(n)), range(40)))
    # One more, for the login.
    assert proxy.most_connections <= 3


def test_puts_of_one_name_wait_for_each_other(proxy: FaultProxy, store: SwiftStore) -> None:
    """Swift itself would take both."""
    store.put("d/before", b"x")
    inside = threading.Semaphore(0)
    at_once: list[int] = []

    def fault(exchange: object) -> None:
        at_once.append(1)
        inside.acquire(timeout=0.3)  # nobody comes
        assert len(at_once) == 1
        at_once.clear()
        exchange.answer(exchange.forward())  # type: ignore[attr-defined]

    proxy.inject("PUT", OBJECT, fault, times=2)
    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(store.put, "d/name", data) for data in (b"one", b"two")]
        errors = [end.exception() for end in ends]
    assert sorted(type(error) for error in errors if error) == [ObjectExists]


def test_tls_is_verified_against_the_given_certificates(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    swift = FakeSwift(tls=context)
    try:
        trusting = replace(tempauth(swift.url), ca_file=str(made.authority))
        a_store(trusting).put("d/name", b"x")
        with pytest.raises(StoreError, match=r"certificate.*set ca_file"):
            a_store(tempauth(swift.url)).put("d/name", b"x")
    finally:
        swift.close()


def test_no_secret_reaches_a_log_or_a_message(
    proxy: FaultProxy, swift: FakeSwift, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    for login in (tempauth, keystone, application):
        options = replace(login(proxy.url), retries=1)
        store = a_store(options)
        store.put("d/name", b"x")
        for status in (400, 401, 403, 500):
            rule = proxy.inject("GET", OBJECT, Refuse(status), times=2)
            with pytest.raises(StoreError) as error:
                store.get("d/name")
            told += repr(error.value) + repr(options)
            assert rule.struck
            proxy.heal()
    told += caplog.text
    assert "d/name" in told
    for secret in (PASSWORD, APPLICATION_SECRET, *swift.state.tokens):
        assert secret not in told


def _changed(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
