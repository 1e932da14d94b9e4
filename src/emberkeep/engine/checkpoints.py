"""Checkpoints: how far an unfinished session got, so that its successor need not begin again.

    d/<domain>/c/<session>/<number>, sealed by the metadata key: JSON

Invariants
* all segments that a checkpoint's map points into were acknowledged before it was put;
* only a successor that took the session's pins and hold over without a gap may use it.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emberkeep.engine import keys, layout
from emberkeep.engine.blockmap import MapState, Node, Top
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.keys import MetadataKey, Random
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound


@dataclass(frozen=True, slots=True)
class Origin:
    """What a backup is made of: only with the same may a successor go on."""

    change_id: str | None
    base: RootId | None
    size: int
    chunk_size: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What a backup has done so far; bytes where they are not counted."""

    chunks: int = 0
    new_chunks: int = 0
    segments: int = 0
    stored: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint: the leaves before `leaf` are in the map.

    `pins`: the sessions that were pinned for it; `samples`: those that no hint tells of yet.
    """

    origin: Origin
    leaf: int
    map: MapState
    counters: Counters
    pins: tuple[SessionId, ...]
    samples: bytes


def put(
    store: Store,
    metadata_key: MetadataKey,
    domain: DomainId,
    session: SessionId,
    number: int,
    saved: Saved,
    random: Random,
) -> None:
    """Put the session's `number`-th checkpoint, counted from 1."""
    top = saved.map.top
    origin, counters = saved.origin, saved.counters
    content = {
        "change_id": origin.change_id,
        "base": origin.base,
        "size": origin.size,
        "chunk_size": origin.chunk_size,
        "leaf": saved.leaf,
        "sessions": saved.map.sessions,
        "open": [
            [index, base64.b64encode(node.encode()).decode()] for index, node in saved.map.open
        ],
        "top": top and [layout.plain_pointer(top.place), top.digest.hex()],
        "counters": {
            "chunks": counters.chunks,
            "new_chunks": counters.new_chunks,
            "segments": counters.segments,
            "stored_bytes": counters.stored,
        },
        "pins": saved.pins,
        "samples": base64.b64encode(saved.samples).decode(),
    }
    name = layout.checkpoint_name(domain, session, number)
    store.put(name, keys.seal(metadata_key.object_key(name), json.dumps(content).encode(), random))


def newest(
    store: Store,
    metadata_key: MetadataKey,
    domain: DomainId,
    sessions: Sequence[SessionId],
    origin: Origin,
) -> Saved | None:
    """The last checkpoint of the first of the sessions that has one made of the same origin."""
    if origin.change_id is None:
        return None
    for session in sessions:
        prefix = layout.checkpoint_name(domain, session, 0)[:-1]
        listed = layout.named(store, prefix, layout.parse_checkpoint_name)
        for number in sorted((number for _item, (_session, number) in listed), reverse=True):
            name = layout.checkpoint_name(domain, session, number)
            try:
                saved = _decode(keys.unseal(metadata_key.object_key(name), store.get(name), name))
            except (ObjectNotFound, DamagedObject, *MALFORMED):
                continue  # an earlier one only costs time
            if saved.origin == origin:
                return saved
    return None


def _decode(plain: bytes) -> Saved:
    content: dict[str, Any] = json.loads(plain)
    counters = content["counters"]
    origin = Origin(content["change_id"], content["base"], content["size"], content["chunk_size"])
    nodes = tuple((index, Node.decode(base64.b64decode(node))) for index, node in content["open"])
    top = None
    if content["top"]:
        place, digest = content["top"]
        top = Top(1, layout.pointer_from(place), bytes.fromhex(digest))
    return Saved(
        origin=origin,
        leaf=content["leaf"],
        map=MapState(nodes, top, tuple(SessionId(session) for session in content["sessions"])),
        counters=Counters(
            counters["chunks"],
            counters["new_chunks"],
            counters["segments"],
            counters["stored_bytes"],
        ),
        pins=tuple(SessionId(session) for session in content["pins"]),
        samples=base64.b64decode(content["samples"]),
    )
