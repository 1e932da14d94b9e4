"""From a store's URL to the store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from emberkeep.stores.base import Store
from emberkeep.stores.errors import StoreError
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.posix import PosixStore

KINDS = (
    "file:///DIRECTORY, s3+https://HOST[:PORT]/BUCKET[/PREFIX], "
    "s3+http://HOST[:PORT]/BUCKET[/PREFIX], s3://BUCKET[/PREFIX], swift:///CONTAINER[/PREFIX]"
)


def open_store(url: str, options: StoreOptions = StoreOptions()) -> Store:  # noqa: B008 (frozen)
    """The store at `url`, one of `KINDS`.  Nothing is asked of it yet.

    Raises `StoreError` for a URL of no known kind, and for options that are missing.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file" if parts.path.startswith("/") and parts.netloc in ("", "localhost"):
            return PosixStore(Path(unquote(parts.path)))
        case "file":
            raise StoreError(f"{url}: a file URL names an absolute path: file:///srv/backups")
        # Each client is loaded by those who use it only: it takes time and some MiB of memory.
        case "s3" | "s3+http" | "s3+https":
            from emberkeep.stores.s3 import Place, S3Store

            return S3Store(Place.of(url), options)
        case "swift":
            from emberkeep.stores.swift import SwiftStore

            return SwiftStore.at(url, options)
        case scheme:
            raise StoreError(f"{scheme or url!r}: no such kind of store; known: {KINDS}")
