"""Roots: the object that makes a backup one, put last and never rewritten.

    magic, version · length, layout (sealed by the metadata key) · length, description (sealed by
    the domain's data key, and holding the SHA-256 of the layout part) · CRC-32C of all before

The layout part is enough to walk the map and to collect; the description says what was backed up.
The checksum lets whoever has no domain key see that the description is as it was written.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c

from emberkeep.engine import keys, layout
from emberkeep.engine.blockmap import Top
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.keys import DomainKeys, MetadataKey, Random
from emberkeep.engine.layout import Pointer

_HEAD = struct.Struct("<8sI")
_LENGTH = struct.Struct("<I")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"EMBRKROO"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a backup's map begins, and what it is the map of.  Sizes are bytes."""

    domain: DomainId
    root: RootId
    key: int  # the number of the data key of the session's own records
    size: int
    chunk_size: int
    height: int
    top: Pointer | None
    base: RootId | None
    sessions: tuple[SessionId, ...]  # whose segments the map points into
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Root:
    """A root as read back and authenticated."""

    layout: Layout
    content_digest: bytes
    change_id: str | None
    description: Mapping[str, Any]
    sha256: str  # of the whole object

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def chunk_size(self) -> int:
        return self.layout.chunk_size

    @property
    def base(self) -> RootId | None:
        return self.layout.base

    @property
    def top(self) -> Top:
        return Top(self.layout.height, self.layout.top, self.content_digest)


def encode(
    layout_part: Layout,
    *,
    content_digest: bytes,
    change_id: str | None,
    description: Mapping[str, Any],
    metadata_key: MetadataKey,
    domain_keys: DomainKeys,
    random: Random,
) -> bytes:
    """The root object's bytes."""
    session = SessionId(layout_part.root)
    sealed_layout = keys.seal(
        metadata_key.layout_key(layout_part.domain, session), _plain_layout(layout_part), random
    )
    content = {
        "layout_sha256": hashlib.sha256(sealed_layout).hexdigest(),
        "content_digest": content_digest.hex(),
        "change_id": change_id,
        "description": description,
    }
    sealed_description = keys.seal(
        domain_keys.description_key(layout_part.key, session), _json(content), random
    )
    parts = (_LENGTH.pack(len(part)) + part for part in (sealed_layout, sealed_description))
    data = _HEAD.pack(_MAGIC, layout.VERSION) + b"".join(parts)
    return data + _CHECKSUM.pack(google_crc32c.value(data))


def layout_of(data: bytes, metadata_key: MetadataKey, domain: DomainId, root: RootId) -> Layout:
    """The layout part of a root object, which needs no domain key.  Raises `DamagedObject`."""
    name = layout.root_name(domain, root)
    sealed, _description = _parts(data, name)
    key = metadata_key.layout_key(domain, SessionId(root))
    plain = keys.unseal(key, sealed, f"{name}: layout")
    try:
        return _layout(plain, domain, root)
    except MALFORMED as error:
        raise DamagedObject(f"{name}: its layout is none") from error


def decode(data: bytes, metadata_key: MetadataKey, domain_keys: DomainKeys, root: RootId) -> Root:
    """The whole root, both parts authenticated.  Raises `DamagedObject`."""
    name = layout.root_name(domain_keys.domain, root)
    layout_part = layout_of(data, metadata_key, domain_keys.domain, root)
    sealed_layout, sealed_description = _parts(data, name)
    key = domain_keys.description_key(layout_part.key, SessionId(root))
    plain = keys.unseal(key, sealed_description, f"{name}: description")
    try:
        content = json.loads(plain)
        if content["layout_sha256"] != hashlib.sha256(sealed_layout).hexdigest():
            raise DamagedObject(f"{name}: its two parts are not of one root")
        return Root(
            layout=layout_part,
            content_digest=bytes.fromhex(content["content_digest"]),
            change_id=content["change_id"],
            description=content["description"],
            sha256=hashlib.sha256(data).hexdigest(),
        )
    except MALFORMED as error:
        raise DamagedObject(f"{name}: its description is none") from error


def _parts(data: bytes, name: str) -> tuple[bytes, bytes]:
    try:
        magic, version = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != layout.VERSION:
            raise DamagedObject(f"{name}: no root of a version known here")
        first = _HEAD.size + _LENGTH.size
        (length,) = _LENGTH.unpack_from(data, _HEAD.size)
        second = first + length + _LENGTH.size
        (rest,) = _LENGTH.unpack_from(data, first + length)
        (checksum,) = _CHECKSUM.unpack_from(data, second + rest)
    except struct.error as error:
        raise DamagedObject(f"{name}: cut off") from error
    if len(data) != second + rest + _CHECKSUM.size:
        raise DamagedObject(f"{name}: cut off, or longer than it was")
    if google_crc32c.value(data[: second + rest]) != checksum:
        raise DamagedObject(f"{name}: damaged; its checksum is another")
    return data[first : first + length], data[second : second + rest]


def _plain_layout(part: Layout) -> bytes:
    return _json(
        {
            "key": part.key,
            "size": part.size,
            "chunk_size": part.chunk_size,
            "height": part.height,
            "top": layout.plain_pointer(part.top),
            "base": part.base,
            "sessions": part.sessions,
            "counters": part.counters,
        }
    )


def _layout(plain: bytes, domain: DomainId, root: RootId) -> Layout:
    content = json.loads(plain)
    return Layout(
        domain=domain,
        root=root,
        key=content["key"],
        size=content["size"],
        chunk_size=content["chunk_size"],
        height=content["height"],
        top=layout.pointer_from(content["top"]),
        base=content["base"],
        sessions=tuple(content["sessions"]),
        counters=content["counters"],
    )


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
