"""From a store's URL to the store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from emberkeep.stores.base import Store
from emberkeep.stores.errors import StoreError
from emberkeep.stores.posix import PosixStore


def open_store(url: str) -> Store:
    """The store at `url`: `file:///directory`.  Raises `StoreError` for a URL of no known kind."""
    parts = urlsplit(url)
    match parts.scheme:
        case "file" if parts.path.startswith("/") and parts.netloc in ("", "localhost"):
            return PosixStore(Path(unquote(parts.path)))
        case "file":
            raise StoreError(f"{url}: a file URL names an absolute path: file:///srv/backups")
        case _:
            raise StoreError(f"{url}: no such kind of store; known: file:///directory")
