import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import certificates
from tests.stores.fake_s3 import Answer, FakeS3, Request, refusal

from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.s3 import Place, S3Store
from emberkeep.testing.stores import StoreConformance

SECRET = "a-secret-that-nobody-may-see"


@pytest.fixture
def service() -> Iterator[FakeS3]:
    with FakeS3() as running:
        yield running


def a_store(service: FakeS3, waits: list[float] | None = None, **options: Any) -> S3Store:
    """A store that does not sleep; `waits` gets the seconds that it would have."""
    known = {"access_key": "key", "secret_key": SECRET, "retries": 2, **options}
    sleep = (lambda seconds: None) if waits is None else waits.append
    return S3Store(Place.of(service.url), StoreOptions(**known), sleep=sleep)


class TestS3(StoreConformance):
    @pytest.fixture
    def store(self, service: FakeS3) -> Store:
        return open_store(
            f"{service.url}/some/where", StoreOptions(access_key="key", secret_key=SECRET)
        )


class TestS3WithoutConditions(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with FakeS3(conditional=False) as service:
            yield a_store(service)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3+https://host/backups", Place("https://host", "backups", "")),
        ("s3+http://host:9000/backups/", Place("http://host:9000", "backups", "")),
        ("s3+https://host/backups/a/b%20c/", Place("https://host", "backups", "a/b c/")),
        ("s3://backups", Place(None, "backups", "")),
        ("s3://backups/a/b", Place(None, "backups", "a/b/")),
    ],
)
def test_a_url_names_service_bucket_and_prefix(url: str, place: Place) -> None:
    assert Place.of(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "s3+https://host",
        "s3+https://host/",
        "s3+https:///backups",
        "s3://",
        "s3+https://host/b?x=1",
        "s3+https://host/not a bucket",
        f"s3+https://key:{SECRET}@host/backups",
        f"s3://key:{SECRET}@backups",
    ],
)
def test_a_wrong_url_is_refused_with_what_is_right(url: str) -> None:
    with pytest.raises(StoreError, match=r"s3\+https://HOST|set access_key") as refused:
        open_store(url, StoreOptions(access_key="key", secret_key=SECRET))
    assert SECRET not in str(refused.value)


def test_a_service_needs_keys() -> None:
    with pytest.raises(StoreError, match="set access_key and secret_key"):
        open_store("s3+https://host/backups")


def test_requests_are_what_old_services_understand(service: FakeS3) -> None:
    a_store(service).put("d/name", b"abc")
    (put,) = service.requests
    assert put.key == "d/name"  # by path
    assert put.headers["If-None-Match"] == "*"
    assert not [name for name in put.headers if "checksum" in name.lower()]
    assert "chunked" not in put.headers.get("Content-Encoding", "")
    assert put.headers["X-Amz-Content-SHA256"] != "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, (None, None)),
        ({"sse": "AES256"}, ("AES256", None)),
        ({"sse": "aws:kms", "sse_kms_key": "my-key"}, ("aws:kms", "my-key")),
    ],
)
def test_encryption_by_the_service_is_asked_for_as_set(
    service: FakeS3, options: dict[str, str], wanted: tuple[str | None, str | None]
) -> None:
    a_store(service, **options).put("d/name", b"abc")
    (put,) = service.requests
    name = "x-amz-server-side-encryption"
    assert (put.headers[name], put.headers[f"{name}-aws-kms-key-id"]) == wanted


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (refusal(404, "NoSuchBucket"), StoreError, "no bucket backups; make it, or correct"),
        (refusal(403, "AccessDenied"), StoreError, "give the access key the rights"),
        (refusal(403, "SignatureDoesNotMatch"), StoreError, "correct access_key and secret_key"),
        (refusal(403, "InvalidAccessKeyId"), StoreError, "correct access_key"),
        (refusal(403, "RequestTimeTooSkewed"), StoreError, "set the clock"),
        (refusal(301, "PermanentRedirect"), StoreError, "set region"),
        (refusal(400, "KMS.NotFoundException"), StoreError, "correct sse_kms_key"),
        (refusal(400, "InvalidRequest"), StoreError, "answered 400 InvalidRequest"),
        (refusal(507, "InsufficientStorage"), StoreFull, "free some space or raise the quota"),
        (refusal(403, "QuotaExceeded"), StoreFull, "free some space or raise the quota"),
        (refusal(413, "EntityTooLarge"), StoreFull, "free some space or raise the quota"),
        (Answer(404, b"<html>no such page</html>"), StoreError, "make the bucket"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(
    service: FakeS3, answer: Answer, error: type[StoreError], told: str
) -> None:
    waits: list[float] = []
    service.next(*[answer] * 9, method="PUT")
    with pytest.raises(error, match=told) as refused:
        a_store(service, waits).put("d/name", b"abc")
    assert not waits
    assert "127.0.0.1" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert not service.objects


def test_no_bucket_is_no_missing_object(service: FakeS3) -> None:
    service.next(*[refusal(404, "NoSuchBucket")] * 2, method="GET")
    store = a_store(service)
    for ask in (lambda: store.get("name"), lambda: list(store.list(""))):
        with pytest.raises(StoreError, match="no bucket backups") as refused:
            ask()
        assert not isinstance(refused.value, ObjectNotFound)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(500, "InternalError"),
        refusal(503, "SlowDown"),
        refusal(429, "TooManyRequests"),
        refusal(400, "RequestTimeout"),
        refusal(400, "BadDigest"),
        Answer(502, b"<html>a proxy's page</html>"),
        Answer(200, lost=True),
    ],
)
def test_what_may_pass_is_asked_again(service: FakeS3, answer: Answer) -> None:
    told_without_a_body = answer.status != 400
    for method in ("PUT", *(["HEAD"] if told_without_a_body else []), "GET", "DELETE"):
        service.next(answer, answer, method=method)
    waits: list[float] = []
    store = a_store(service, waits)
    store.put("d/name", b"abc")
    assert store.stat("d/name").size == 3
    assert store.get("d/name") == b"abc"
    service.next(answer, answer, method="GET")
    assert [item.name for item in store.list("")] == ["d/name"]
    store.delete("d/name")
    assert len(waits) == (10 if told_without_a_body else 8)


def test_what_does_not_pass_is_given_up_in_words(service: FakeS3) -> None:
    service.next(*[refusal(503, "SlowDown")] * 3, method="GET")
    with pytest.raises(StoreError, match=r"answered 503 SlowDown; given up after 3 attempts"):
        a_store(service).get("d/name")


def test_a_service_is_left_alone_as_long_as_it_asks(service: FakeS3) -> None:
    service.next(refusal(503, "SlowDown", Retry_After="7"), method="GET")
    service.objects["d/name"] = b"abc"
    waits: list[float] = []
    assert a_store(service, waits).get("d/name") == b"abc"
    assert 7 <= waits[0] < 8


def test_a_put_whose_answer_was_lost_succeeds(service: FakeS3) -> None:
    def lose(request: Request) -> Answer:
        assert service.do(request).status == 200
        return Answer(200, lost=True)

    service.next(lose, method="PUT")
    a_store(service).put("d/name", b"abc")
    assert service.objects == {"d/name": b"abc"}
    assert len(service.asked("PUT")) == 2


def test_a_conflict_with_nobody_is_tried_again(service: FakeS3) -> None:
    service.next(refusal(409, "ConditionalRequestConflict"), method="PUT")
    a_store(service).put("d/name", b"abc")
    assert service.objects == {"d/name": b"abc"}


def test_a_service_without_conditions_is_asked_whether_the_name_is_taken() -> None:
    with FakeS3(conditional=False) as service:
        store = a_store(service)
        store.put("d/name", b"abc")
        store.put("d/name", b"abc")
        with pytest.raises(ObjectExists):
            store.put("d/name", b"xyz")
        assert service.objects == {"d/name": b"abc"}
        assert len(service.asked("PUT")) == 2  # one that was refused, one that was not


def test_a_service_that_knows_no_encryption_says_so(service: FakeS3) -> None:
    service.next(*[refusal(501, "NotImplemented")] * 2, method="PUT")
    with pytest.raises(StoreError, match="unset sse"):
        a_store(service, sse="AES256").put("d/name", b"abc")


def test_half_an_answer_is_none(service: FakeS3) -> None:
    service.objects["d/name"] = b"0123456789"
    service.next(Answer(200, b"0123456789", cut=5), method="GET")
    assert a_store(service).get("d/name") == b"0123456789"
    assert len(service.asked("GET")) == 2


def test_other_bytes_than_were_asked_for_are_none(service: FakeS3) -> None:
    service.objects["d/name"] = b"0123456789"
    store = a_store(service)
    other = Answer(206, b"012", {"Content-Range": "bytes 0-2/10"})
    service.next(other, method="GET")
    assert store.get("d/name", offset=3, length=4) == b"3456"
    service.next(Answer(206, b"34", {"Content-Range": "bytes 3-4/10"}), method="GET")
    assert store.get("d/name", offset=3, length=4) == b"3456"
    service.next(*[other] * 3, method="GET")
    with pytest.raises(StoreError, match="bytes 0 to 3 came, not 3 to 7"):
        store.get("d/name", offset=3, length=4)


@pytest.mark.parametrize(("offset", "wanted"), [(3, b"3456"), (-4, b"6789")])
def test_a_service_may_send_all_when_a_part_is_asked_for(
    service: FakeS3, offset: int, wanted: bytes
) -> None:
    service.next(Answer(200, b"0123456789"), method="GET")
    assert a_store(service).get("d/name", offset=offset, length=4) == wanted


def test_a_listing_has_pages_and_leaves_out_what_is_not_ours(service: FakeS3) -> None:
    names = [f"d/{number:02}" for number in range(10)]
    service.objects = dict.fromkeys([*names, "d/Not Ours", "e/1"], b"x")
    assert [item.name for item in a_store(service).list("d/")] == names
    assert len(service.asked("GET")) == 4


def test_a_listing_that_makes_no_sense_is_not_believed(service: FakeS3) -> None:
    item = "<Contents><Key>{}</Key><Size>1</Size></Contents>"
    for keys in (["b", "a"], ["a", "a"], ["other"], []):
        more = str(not keys).lower()
        found = "".join(item.format(key) for key in keys)
        body = f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{found}</ListBucketResult>"
        service.next(*[Answer(200, body.encode())] * 3, method="GET")
        prefix = "d/" if keys == ["other"] else ""
        with pytest.raises(StoreError, match="the listing"):
            list(a_store(service).list(prefix))
    service.next(*[Answer(200)] * 3, method="GET")
    with pytest.raises(StoreError, match="the listing did not come"):
        list(a_store(service).list(""))


def test_what_is_no_s3_service_is_told(service: FakeS3) -> None:
    store = a_store(service)
    for method, ask in {"HEAD": store.stat, "GET": store.get}.items():
        service.next(*[Answer(200, b"abc", {"Last-Modified": "long ago"})] * 3, method=method)
        with pytest.raises(StoreError, match="is the URL right"):
            ask("d/name")


def test_no_more_connections_than_were_granted(service: FakeS3) -> None:
    service.objects["d/name"] = b"abc"
    inside = 0
    lock = threading.Lock()
    too_many = threading.Event()

    def counted(request: Request) -> Answer:
        nonlocal inside
        with lock:
            inside += 1
            if inside > 2:
                too_many.set()
        too_many.wait(0.2)  # so long that a third would have come
        with lock:
            inside -= 1
        return service.do(request)

    service.next(*[counted] * 6, method="GET")
    store = a_store(service, connections=2)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(store.get, ["d/name"] * 6)) == [b"abc"] * 6
    assert not too_many.is_set()


def test_a_server_that_is_not_there_is_told(service: FakeS3) -> None:
    url = "s3+http://127.0.0.1:1/backups"  # a port that nobody listens on
    options = StoreOptions(access_key="key", secret_key=SECRET, retries=1)
    waits: list[float] = []
    with pytest.raises(StoreError, match=r"cannot be reached.*given up after 2 attempts"):
        S3Store(Place.of(url), options, sleep=waits.append).stat("d/name")
    assert len(waits) == 1


def test_no_answer_in_time_is_a_failure(service: FakeS3) -> None:
    gone = threading.Event()

    def late(request: Request) -> Answer:
        assert gone.wait(60)
        return Answer(200, lost=True)

    service.next(late, method="GET")
    with pytest.raises(StoreError, match="no answer in time"):
        a_store(service, retries=0, timeout=0.2).get("d/name")
    gone.set()


def test_a_servers_certificate_must_be_vouched_for(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    with FakeS3(made.server) as service:
        a_store(service, ca_file=str(made.authority)).put("d/name", b"abc")
        with pytest.raises(StoreError, match="set ca_file"):
            a_store(service).get("d/name")


@pytest.mark.parametrize(
    ("url", "option", "seconds"),
    [
        ("s3+https://host/backups", None, 60),  # who knows what it is
        ("s3://backups", None, 0),  # AWS promises it
        ("s3://backups", 5.0, 5),
        ("s3+https://host/backups", 0.0, 0),
    ],
)
def test_an_unknown_service_has_a_minute_to_settle(
    url: str, option: float | None, seconds: float
) -> None:
    options = StoreOptions(access_key="key", secret_key=SECRET, settles_within=option)
    assert open_store(url, options).settles_within == seconds
