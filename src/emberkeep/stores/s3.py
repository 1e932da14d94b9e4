"""A store in a bucket of an S3 service: AWS's own, or another vendor's.

Invariants
* a put takes only a free name (`If-None-Match: *`).  If the name is taken the bytes are compared,
  so a put whose answer was lost succeeds when it is sent again;
* bytes are returned only if all that were asked for came;
* no secret is part of a message.

Some services do not settle who was first of several that put one name in the same moment: those
that know no `If-None-Match` (they answer 501, and are asked whether the name is taken instead), and
those that look whether it is taken before they take the bytes.  Within a process such puts wait for
each other; between processes nobody must contend for a name.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import boto3.session
from botocore import exceptions as client_errors
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.findings import Finding, Result
from emberkeep.stores.names import checked, is_name
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.reach import network
from emberkeep.stores.retries import Passing, Retries, retry_after
from emberkeep.stores.turns import Turns

_BUCKET = re.compile(r"[a-zA-Z0-9._-]{3,255}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_SETTLES_WITHIN = 60.0  # seconds, of a service of which nothing is known; AWS promises 0
_CONNECTING = 10.0  # seconds, at most
# ValueError: what the client raises for headers that it cannot read.
_CLIENT_ERRORS = (BotoCoreError, ResponseParserError, HTTPError, OSError, ValueError)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects lie.  `endpoint` is None for AWS itself; `prefix` ends in `/`, if any."""

    endpoint: str | None
    bucket: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> "Place":
        """Of s3+https://HOST[:PORT]/BUCKET[/PREFIX], s3+http://… or s3://BUCKET[/PREFIX].

        Raises `StoreError`, which does not repeat what may be a secret in the URL.
        """
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise StoreError(
                "an S3 URL carries no keys; set access_key and secret_key, or AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY"
            )
        path = unquote(parts.path)
        endpoint = None
        if parts.scheme == "s3":
            path = f"/{parts.netloc}{path}"
        else:
            endpoint = f"{parts.scheme.removeprefix('s3+')}://{parts.netloc}"
        bucket, _, prefix = path.removeprefix("/").partition("/")
        odd = parts.query or parts.fragment or not (endpoint is None or parts.hostname)
        if odd or not _BUCKET.fullmatch(bucket):
            raise StoreError(
                f"{url}: write s3+https://HOST[:PORT]/BUCKET[/PREFIX], or s3://BUCKET[/PREFIX] for "
                "AWS itself"
            )
        prefix = prefix.strip("/")
        return cls(endpoint, bucket, f"{prefix}/" if prefix else "")

    def __str__(self) -> str:
        return f"s3+{self.endpoint}/{self.bucket}" if self.endpoint else f"s3://{self.bucket}"


class S3Store:
    """A bucket, or what lies under a prefix in it.  Any number of processes may share it."""

    def __init__(
        self, place: Place, options: StoreOptions, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Use a bucket, which must be there.  Raises `StoreError` if options are missing.

        Without an access key AWS's own sources of credentials are asked, but for AWS only.
        """
        if place.endpoint and not options.access_key:
            raise StoreError(f"{place}: set access_key and secret_key")
        self._place = place
        self._retries = Retries(attempts=options.retries + 1)
        self._sleep = sleep
        self._slots = threading.BoundedSemaphore(options.connections)
        self._turns = Turns()
        self._conditional = True  # until the service says that it knows no If-None-Match
        self._headers = _encryption(options)
        if options.settles_within is None:
            self._settles_within = _SETTLES_WITHIN if place.endpoint else 0.0
        else:
            self._settles_within = options.settles_within
        try:
            self._client = _client(place, options)
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"{place}: {error}") from error

    @property
    def settles_within(self) -> float:
        return self._settles_within

    def put(self, name: str, data: Buffer) -> None:
        key = self._key(name)
        # Other buffers are not taken by the client.
        body = data if isinstance(data, bytes | bytearray) else bytes(data)
        with self._turns.turn(name):
            self._persist(lambda: self._put(name, key, body))

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        key = self._key(name)
        if length == 0:
            self.stat(name)
            return b""
        return self._persist(lambda: self._get(name, key, offset, length))

    def stat(self, name: str) -> StoredObject:
        key = self._key(name)
        return StoredObject(name, self._persist(lambda: self._size(name, key)))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        start = self._place.prefix + prefix
        last = ""
        more = True
        while more:
            page, more = self._persist(partial(self._page, start, last))
            for key, size in page:
                name = key.removeprefix(self._place.prefix)
                if is_name(name):  # else it is not one of ours
                    yield StoredObject(name, size)
            last = page[-1][0] if page else last

    def delete(self, name: str) -> None:
        key = self._key(name)
        try:
            self._persist(lambda: self._ask(name, self._client.delete_object, Key=key))
        except ObjectNotFound:
            return

    def reached(self) -> Iterator[Finding]:
        """See `stores.check`."""
        yield (server := network("network", self._client.meta.endpoint_url))
        if server.result == Result.UNREACHABLE:
            return
        try:
            next(iter(self.list("check/")), None)
        except StoreError as error:
            yield Finding("bucket", Result.UNREACHABLE, str(error))
        else:
            text = f"{self._place.bucket} is there, and the access key may list it"
            yield Finding("bucket", Result.FINE, text)

    def _put(self, name: str, key: str, body: bytes | bytearray) -> None:
        """Send it once."""
        headers = dict(self._headers)
        if self._conditional:
            headers["IfNoneMatch"] = "*"
        elif self._has(name, key, body):
            return
        try:
            self._ask(name, self._client.put_object, Key=key, Body=body, **headers)
        except ObjectNotFound as error:  # there is nothing to be found, so it means the bucket
            raise StoreError(f"{error}; make the bucket, or correct the URL") from error
        except Refused as error:
            if error.status == 501 and self._conditional:
                self._conditional = False
                self._put(name, key, body)
            elif error.status not in (409, 412):
                raise
            elif not self._has(name, key, body):
                raise Passing(f"{error}; yet it has no such object") from error

    def _has(self, name: str, key: str, body: bytes | bytearray) -> bool:
        """Whether these bytes lie there.  Raises `ObjectExists` if others do."""
        try:
            same = self._size(name, key) == len(body) and self._get(name, key, 0, None) == body
        except ObjectNotFound:
            return False
        if not same:
            raise ObjectExists(f"{self._at(name)} exists with other bytes")
        return True

    def _size(self, name: str, key: str) -> int:
        found = self._ask(name, self._client.head_object, Key=key)
        try:
            return int(found["ContentLength"])
        except KeyError:
            raise Passing(f"{self._at(name)}: the service does not tell the size") from None

    def _get(self, name: str, key: str, offset: int, length: int | None) -> bytes:
        try:
            headers, data = self._ask(name, self._read, Key=key, **_range(offset, length))
        except Refused as error:
            if error.status == 416:  # all of the range lies beyond the end
                return b""
            raise
        told = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if told:
            begin, end, size = int(told[1]), int(told[2]) + 1, int(told[3])
        else:  # the whole object, asked for or not
            begin, end = 0, int(headers.get("content-length", len(data)))
            size = end
        if len(data) != end - begin:
            raise Passing(f"{self._at(name)}: {len(data)} of {end - begin} bytes came")
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        stop = size if length is None else min(size, start + length)
        if start < begin or stop > end:
            raise Passing(f"{self._at(name)}: bytes {begin} to {end} came, not {start} to {stop}")
        return data if (begin, end) == (start, stop) else data[start - begin : stop - begin]

    def _read(self, **request: Any) -> tuple[dict[str, str], bytes]:
        answer = self._client.get_object(**request)
        with closing(answer["Body"]) as body:
            return answer["ResponseMetadata"]["HTTPHeaders"], body.read()

    def _page(self, start: str, last: str) -> tuple[Sequence[tuple[str, int]], bool]:
        """The keys and sizes after `last`, and whether there are more."""
        after = {"StartAfter": last} if last else {}
        answer = self._ask("", self._client.list_objects_v2, Prefix=start, **after)
        if "IsTruncated" not in answer:  # the client takes an answer without a body for a listing
            raise Passing(f"{self._at('')}: the listing did not come")
        items = answer.get("Contents", [])
        page = [(str(item.get("Key", "")), int(item.get("Size", 0))) for item in items]
        keys = [last, *(key for key, _size in page)]
        if any(later <= earlier for earlier, later in pairwise(keys)):
            raise Passing(f"{self._at('')}: the listing is not in order")
        if not all(key.startswith(start) for key, _size in page):
            raise Passing(f"{self._at('')}: the listing has other names than were asked for")
        more = bool(answer["IsTruncated"])
        if more and not page:
            raise Passing(f"{self._at('')}: the listing has an empty page")
        return page, more

    def _ask(self, name: str, request: Callable[..., _T], **arguments: Any) -> _T:
        """Send a request once.

        Raises `Passing` for what may pass, `ObjectNotFound`, `StoreFull`, `Refused` for other
        answers, `StoreError`.
        """
        at = self._at(name)
        try:
            with self._slots:
                return request(Bucket=self._place.bucket, **arguments)
        except client_errors.ClientError as error:
            raise _answered(at, self._place.bucket, error.response) from error
        except _CLIENT_ERRORS as error:
            raise _failed(at, error) from error

    def _persist(self, ask: Callable[[], _T]) -> _T:
        return self._retries.persist(ask, sleep=self._sleep)

    def _key(self, name: str) -> str:
        return self._place.prefix + checked(name)

    def _at(self, name: str) -> str:
        return f"{self._place}/{self._place.prefix}{name}"


class Refused(StoreError):
    """The service answered, and it will answer the same again.  `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _client(place: Place, options: StoreOptions) -> Any:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if place.endpoint else "auto"},
        # Older services refuse the checksums that newer clients add to all requests.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=min(_CONNECTING, options.timeout),
        read_timeout=options.timeout,
        max_pool_connections=options.connections,
        tcp_keepalive=True,
        retries={"mode": "standard", "total_max_attempts": 1},  # `Retries` does it
        ignore_configured_endpoint_urls=True,
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=place.endpoint,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=options.secret_key,
        aws_session_token=options.session_token,
        region_name=options.region or "us-east-1",
        verify=options.ca_file or True,
        config=config,
    )


def _encryption(options: StoreOptions) -> dict[str, str]:
    headers = {"ServerSideEncryption": options.sse, "SSEKMSKeyId": options.sse_kms_key}
    return {name: value for name, value in headers.items() if value}


def _range(offset: int, length: int | None) -> dict[str, str]:
    if offset < 0:
        return {"Range": f"bytes={offset}"}
    if length is not None:
        return {"Range": f"bytes={offset}-{offset + length - 1}"}
    return {"Range": f"bytes={offset}-"} if offset else {}


_FULL = {"EntityTooLarge", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}
# Damaged or delayed on the way, or more at once than the service grants.
_PASSING = {
    *("BadDigest", "IncompleteBody", "OperationAborted", "RequestTimeout", "SlowDown"),
    *("Throttling", "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch"),
}
_RIGHTS = "give the access key the rights to get, put, delete and list objects of the bucket"
_REGION = "set region to the bucket's"
_ADVICE = {
    "301": _REGION,
    "403": f"correct access_key and secret_key, or {_RIGHTS}",  # of a request without a body
    "AccessDenied": _RIGHTS,
    "AuthorizationHeaderMalformed": _REGION,
    "ExpiredToken": "renew access_key, secret_key and session_token",
    "InvalidAccessKeyId": "correct access_key, or sse_kms_key if that is set",
    "NotImplemented": "unset sse if it is set, for this service knows no such encryption",
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": "set the clock of this host",
    "SignatureDoesNotMatch": "correct access_key and secret_key",
}


def _answered(at: str, bucket: str, answer: dict[str, Any]) -> StoreError:
    """What an answer that is no success means."""
    about = answer["ResponseMetadata"]
    status = int(about["HTTPStatusCode"])
    code = str(answer["Error"].get("Code", status))
    headers = about.get("HTTPHeaders", {})
    message = f"{at}: the service answered {status}{'' if code == str(status) else f' {code}'}"
    if request := about.get("RequestId"):
        message += f" (request {request})"
    if code == "NoSuchBucket":
        return StoreError(f"{at}: there is no bucket {bucket}; make it, or correct the URL")
    if status == 404:
        return ObjectNotFound(f"{at} is not there")
    if status in (413, 507) or code in _FULL:
        return StoreFull(
            f"{message}: no room, or a quota is reached; free some space or raise the quota"
        )
    if status in (408, 429) or code in _PASSING or (status >= 500 and status != 501):
        return Passing(message, after=retry_after(headers.get("retry-after")))
    advice = _ADVICE.get(code)
    if advice is None and code.startswith("KMS"):
        advice = "correct sse_kms_key, or the access key's rights to use that key"
    return Refused(f"{message}; {advice}" if advice else message, status)


def _failed(at: str, error: Exception) -> StoreError:
    """What a request without an answer means."""
    match error:
        case client_errors.NoCredentialsError() | client_errors.PartialCredentialsError():
            return StoreError(f"{at}: set access_key and secret_key")
        case client_errors.SSLError() if "certificate" in str(error).lower():
            return StoreError(
                f"{at}: the server's certificate is not trusted; set ca_file to the certificates "
                "that vouch for it, or correct the host's name"
            )
        case client_errors.ConnectTimeoutError() | client_errors.ReadTimeoutError():
            return Passing(f"{at}: no answer in time")
        case client_errors.EndpointConnectionError() | client_errors.ProxyConnectionError():
            return Passing(f"{at}: the server cannot be reached; is the URL right?")
        case client_errors.HTTPClientError() | client_errors.ConnectionError():
            return Passing(f"{at}: the connection broke off")
        case client_errors.IncompleteReadError() | HTTPError() | OSError():
            return Passing(f"{at}: the connection broke off")
        case ResponseParserError() | ValueError():
            return Passing(f"{at}: the answer is none of an S3 service; is the URL right?")
        case _:
            return StoreError(f"{at}: {type(error).__name__}: {error}")
