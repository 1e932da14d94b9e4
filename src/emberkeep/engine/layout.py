"""The names of objects, and the plain structures around what is encrypted (docs/format.md).

Integers are little-endian, except in nonces and key derivation.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import google_crc32c

from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.stores.base import Store, StoredObject

_T = TypeVar("_T")

VERSION = 1
FORMAT = "format"
INCARNATIONS = "incarnation/"

HEADER_SIZE = 64
TRAILER_SIZE = 16
_HEADER = struct.Struct("<8sI16s16sI16x")
_TRAILER = struct.Struct("<8sII")
_SEGMENT_NAME = re.compile(
    r"d/[0-9a-f]{32}/s/(?P<prefix>[0-9a-f]{2})/(?P<session>[0-9a-f]{32})/"
    r"(?P<seq>[0-9a-f]{8})\.(?P<generation>0|[1-9][0-9]*-[0-9a-f]{8})"
)
_GENS_NAME = re.compile(
    r"d/[0-9a-f]{32}/g/(?P<cycle>[1-9][0-9]*)-[0-9a-f]{8}/(?P<session>[0-9a-f]{32})"
)
_BAD_NAME = re.compile(
    r"d/[0-9a-f]{32}/bad/(?P<session>[0-9a-f]{32})\.(?P<seq>[0-9a-f]{8})\.(?P<run>[0-9a-f]{8})"
)
_CHECKPOINT_NAME = re.compile(r"d/[0-9a-f]{32}/c/(?P<session>[0-9a-f]{32})/(?P<number>[1-9][0-9]*)")
_INCARNATION_NAME = re.compile(r"incarnation/(?P<number>[1-9][0-9]*)")
_ROOT_NAME = re.compile(r"d/[0-9a-f]{32}/r/(?P<root>[0-9a-f]{32})")
_KEY_NAME = re.compile(
    r"d/(?P<domain>[0-9a-f]{32})/key/(?P<number>[1-9][0-9]*)\.(?P<wrapping>[1-9][0-9]*)"
)
_DESTROYED_NAME = re.compile(r"d/(?P<domain>[0-9a-f]{32})/key/destroyed")
_HINTS_NAME = re.compile(
    r"d/[0-9a-f]{32}/h/([0-9a-f]{32}/[1-9][0-9]*|(?P<cycle>[1-9][0-9]*)-[0-9a-f]{8})"
)
_SEGMENT_MAGIC = b"EMBRKSEG"
_TRAILER_MAGIC = b"EMBRKEND"


class Kind(IntEnum):
    """What a record holds; part of its authenticated data."""

    CHUNK = 1
    IDS = 2
    NODE = 3


class Codec(IntEnum):
    """How a record was made smaller before it was encrypted."""

    RAW = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True, order=True)
class SegmentId:
    """A segment: the `seq`-th that its session began."""

    session: SessionId
    seq: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """The place of one record.  `offset` and `length` (bytes, with codec byte and tag) hold for
    generation 0 only."""

    segment: SegmentId
    key: int  # the number of the data key, for chunks
    index: int
    offset: int
    length: int


def plain_pointer(pointer: Pointer | None) -> list[str | int] | None:
    """A pointer as JSON."""
    if pointer is None:
        return None
    segment = pointer.segment
    return [
        segment.session, pointer.key, segment.seq, pointer.index, pointer.offset, pointer.length,
    ]  # fmt: skip


def pointer_from(plain: Sequence[Any] | None) -> Pointer | None:
    """The pointer that `plain_pointer` wrote."""
    if plain is None:
        return None
    session, key, seq, index, offset, length = plain
    return Pointer(SegmentId(SessionId(session), seq), key, index, offset, length)


def metadata_key_prefix(repository: str) -> str:
    """What the names of the wrappings of a repository's metadata key begin with."""
    return f"key/{repository}/"


def key_prefix(domain: DomainId, number: int) -> str:
    """What the names of the wrappings of a domain's `number`-th data key begin with."""
    return f"d/{domain}/key/{number}."


def parse_key_name(name: str) -> tuple[DomainId, int, int] | None:
    """The domain, number and wrapping that a wrapped key's name tells; None for another's."""
    found = _KEY_NAME.fullmatch(name)
    if found is None:
        return None
    return DomainId(found["domain"]), int(found["number"]), int(found["wrapping"])


def destroyed_name(domain: DomainId) -> str:
    """What tells that a domain's keys were destroyed."""
    return f"d/{domain}/key/destroyed"


def parse_destroyed_name(name: str) -> DomainId | None:
    """The domain whose keys were destroyed; None for another object's name."""
    found = _DESTROYED_NAME.fullmatch(name)
    return None if found is None else DomainId(found["domain"])


def incarnation_name(number: int) -> str:
    """What tells that the ledger was rebuilt: there is one for each number from 2 on."""
    return f"{INCARNATIONS}{number}"


def parse_incarnation_name(name: str) -> int:
    """The number.  Raises `ValueError` for another object's name."""
    return int(_parsed(_INCARNATION_NAME, name)["number"])


def root_name(domain: DomainId, root: RootId) -> str:
    return f"d/{domain}/r/{root}"


def parse_root_name(name: str) -> RootId:
    """The root.  Raises `ValueError` for another object's name."""
    return RootId(_parsed(_ROOT_NAME, name)["root"])


def segment_name(domain: DomainId, segment: SegmentId, generation: str = "0") -> str:
    session = segment.session
    return f"d/{domain}/s/{session[:2]}/{session}/{segment.seq:08x}.{generation}"


def parse_segment_name(name: str) -> tuple[SegmentId, str]:
    """The segment and its generation.  Raises `ValueError` for another object's name."""
    found = _SEGMENT_NAME.fullmatch(name)
    if found is None or not found["session"].startswith(found["prefix"]):
        raise ValueError(f"{name} is no segment's name")
    return SegmentId(SessionId(found["session"]), int(found["seq"], 16)), found["generation"]


def session_prefix(domain: DomainId, session: SessionId) -> str:
    """What the names of a session's segments begin with."""
    return f"d/{domain}/s/{session[:2]}/{session}/"


def new_generation(cycle: int, draw: Callable[[int], bytes]) -> str:
    """A generation that a collection writes; never the same twice, whatever was rolled back."""
    return f"{cycle}-{draw(4).hex()}"


def cycle_of(generation: str) -> int:
    """The cycle that wrote a generation; 0 for the first."""
    return int(generation.partition("-")[0])


def gens_name(domain: DomainId, generation: str, session: SessionId) -> str:
    """What a collection left of a session's segments."""
    return f"d/{domain}/g/{generation}/{session}"


def parse_gens_name(name: str) -> tuple[int, SessionId]:
    """The cycle and the session.  Raises `ValueError` for another object's name."""
    found = _parsed(_GENS_NAME, name)
    return int(found["cycle"]), SessionId(found["session"])


def bad_name(domain: DomainId, segment: SegmentId, run: str) -> str:
    """Records of a segment that a verification found damaged."""
    return f"d/{domain}/bad/{segment.session}.{segment.seq:08x}.{run}"


def parse_bad_name(name: str) -> SegmentId:
    """The segment.  Raises `ValueError` for another object's name."""
    found = _parsed(_BAD_NAME, name)
    return SegmentId(SessionId(found["session"]), int(found["seq"], 16))


def checkpoint_name(domain: DomainId, session: SessionId, number: int) -> str:
    """A checkpoint of a session that is not finished, counted from 1."""
    return f"d/{domain}/c/{session}/{number}"


def parse_checkpoint_name(name: str) -> tuple[SessionId, int]:
    """The session and the number.  Raises `ValueError` for another object's name."""
    found = _parsed(_CHECKPOINT_NAME, name)
    return SessionId(found["session"]), int(found["number"])


def named(
    store: Store, prefix: str, parse: Callable[[str], _T]
) -> Iterator[tuple[StoredObject, _T]]:
    """The objects that the store lists, each with what `parse` makes of its name.

    What bears no name of the kind is left out: a later release may have put it there.
    """
    for item in store.list(prefix):
        with contextlib.suppress(ValueError):
            yield item, parse(item.name)


def hints_name(domain: DomainId, session: SessionId, number: int) -> str:
    """Hints of a session, counted from 1."""
    return f"d/{domain}/h/{session}/{number}"


def merged_hints_name(domain: DomainId, generation: str) -> str:
    """Hints that a collection merged."""
    return f"d/{domain}/h/{generation}"


def parse_hints_name(name: str) -> int:
    """The cycle that merged them, 0 for a session's.  Raises `ValueError` for another's name."""
    return int(_parsed(_HINTS_NAME, name)["cycle"] or 0)


def _parsed(kind: re.Pattern[str], name: str) -> re.Match[str]:
    found = kind.fullmatch(name)
    if found is None:
        raise ValueError(f"{name} is no name of this kind")
    return found


def segment_header(domain: DomainId, segment: SegmentId) -> bytes:
    """For salvage by a person; nothing trusts it."""
    return _HEADER.pack(
        _SEGMENT_MAGIC,
        VERSION,
        bytes.fromhex(domain),
        bytes.fromhex(segment.session),
        segment.seq,
    )


def trailer(footer: bytes) -> bytes:
    return _TRAILER.pack(_TRAILER_MAGIC, len(footer), google_crc32c.value(footer))


def footer_of(tail: bytes, name: str) -> bytes | None:
    """The footer at the end of `tail`, the last bytes of a segment; None if it begins before them.

    Raises `DamagedObject`.
    """
    if len(tail) < TRAILER_SIZE:
        raise DamagedObject(f"{name}: cut; it is shorter than its trailer")
    magic, length, checksum = _TRAILER.unpack(tail[-TRAILER_SIZE:])
    if magic != _TRAILER_MAGIC:
        raise DamagedObject(f"{name}: its trailer is damaged or cut off")
    if length + TRAILER_SIZE > len(tail):
        return None
    footer = tail[len(tail) - TRAILER_SIZE - length : len(tail) - TRAILER_SIZE]
    if google_crc32c.value(footer) != checksum:
        raise DamagedObject(f"{name}: its footer is damaged")
    return footer


def trailer_length(tail: bytes) -> int:
    """The footer's length that the trailer states, with the trailer's own."""
    return int(_TRAILER.unpack(tail[-TRAILER_SIZE:])[1]) + TRAILER_SIZE
