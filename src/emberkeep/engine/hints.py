"""Hints: which segments may hold a chunk, so that a domain's volumes share what is alike.

They tell of a sample of the chunks: the ids that begin with seven zero bits, one in 128.  Whoever
comes across one looks into its segment and those beside it, and so finds the other chunks.

    d/<domain>/h/<session>/<n>   what a session stored, put by itself, at most PER_OBJECT samples
    d/<domain>/h/<generation>    all that a collection found: the MOST samples with the least ids

Both are sealed by the metadata key.  The least ids are a sample as good as any, so what a backup
reads is bounded whatever the domain holds, and a larger domain is just known at fewer points.
With chunks of 64 KiB and 16 bytes a sample:

    stored by the domain   samples   merged     one sample for
    1 TiB                  131,072   2 MiB      8 MiB of volume
    8 TiB                  1.0 M     16 MiB     8 MiB
    100 TiB                13.1 M    16 MiB     100 MiB

What lies before the first sample of a stretch of known chunks is stored again.  A backup holds the
merged hints, LOOSE_BYTES of others and `dedup.KEPT` bytes of ids: 32 MiB.

Invariant: nothing depends on a hint.  Any may be missing, damaged, out of date or wrong, and
anybody may remove it at any time.
"""

import contextlib
import logging
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

import numpy as np
import numpy.typing as npt

from emberkeep.engine import keys, layout
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.uploads import Place
from emberkeep.engine.work import MIB, Checkpoint
from emberkeep.stores.base import StoredObject
from emberkeep.stores.errors import ObjectNotFound, StoreError

PER_OBJECT = 4096  # samples that a session puts at once: of 32 GiB, in chunks of 64 KiB
MOST = 1 << 20  # samples that a collection keeps
LOOSE = 256  # sessions' own objects that a backup reads
LOOSE_BYTES = 4 * MIB  # of them
KEPT = 16 * MOST + LOOSE_BYTES  # bytes in memory

_END = b"\x02"  # samples are the ids below it
_HEAD = struct.Struct("<II")
_SESSION_BYTES = 16
_SAMPLE_BYTES = 16
_log = logging.getLogger(__name__)


def is_sample(chunk_id: bytes) -> bool:
    """Whether hints tell of this chunk."""
    return chunk_id < _END


def _number(chunk_id: bytes) -> int:
    return int.from_bytes(chunk_id[:8], "big")


@dataclass(frozen=True, slots=True)
class Hints:
    """Samples, in columns.

    `ids`: the first eight bytes of the chunks' ids as big-endian numbers, distinct and ascending;
    `numbers`: the places of their sessions in `sessions`.
    """

    sessions: tuple[SessionId, ...]
    ids: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.uint32]
    seqs: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, chunk_id: bytes) -> SegmentId | None:
        """The segment that may have the chunk."""
        wanted = np.uint64(_number(chunk_id))
        row = int(np.searchsorted(self.ids, wanted))
        if row == len(self.ids) or self.ids[row] != wanted:
            return None
        return SegmentId(self.sessions[self.numbers[row]], int(self.seqs[row]))

    def without(
        self, alive: Collection[SessionId], whole: Mapping[SessionId, Collection[int]]
    ) -> "Hints":
        """Leave out sessions that are not `alive`, and segments that `whole` does not name.

        It names segments of some sessions; all of the others may be there.
        """
        wanted = [number for number, session in enumerate(self.sessions) if session in alive]
        kept = np.isin(self.numbers, wanted)
        for number, session in enumerate(self.sessions):
            if session in whole:
                kept &= (self.numbers != number) | np.isin(self.seqs, list(whole[session]))
        return Hints(self.sessions, self.ids[kept], self.numbers[kept], self.seqs[kept])

    def encode(self) -> bytes:
        return b"".join(
            (
                _HEAD.pack(len(self.ids), len(self.sessions)),
                bytes.fromhex("".join(self.sessions)),
                self.ids.astype("<u8").tobytes(),
                self.numbers.astype("<u4").tobytes(),
                self.seqs.astype("<u4").tobytes(),
            )
        )

    @classmethod
    def decode(cls, plain: bytes) -> "Hints":
        """Raises one of `MALFORMED` if `plain` is none."""
        count, sessions = _HEAD.unpack_from(plain)
        start = _HEAD.size + _SESSION_BYTES * sessions
        if len(plain) != start + _SAMPLE_BYTES * count:
            raise ValueError("of another length than it says")
        table = [
            plain[at : at + _SESSION_BYTES].hex() for at in range(_HEAD.size, start, _SESSION_BYTES)
        ]
        return cls(
            tuple(SessionId(session) for session in table),
            np.frombuffer(plain, "<u8", count, start),
            np.frombuffer(plain, "<u4", count, start + 8 * count),
            np.frombuffer(plain, "<u4", count, start + 12 * count),
        )


def merged(parts: Sequence[Hints]) -> Hints:
    """The MOST least samples of all; of equal ones that of the first part."""
    table: dict[SessionId, int] = {}
    renumbered = []
    for part in parts:
        numbers = [table.setdefault(session, len(table)) for session in part.sessions]
        renumbered.append(np.array(numbers, "<u4")[part.numbers])
    ids, rows = np.unique(np.concatenate([part.ids for part in parts]), return_index=True)
    rows = rows[:MOST]
    used, places = np.unique(np.concatenate(renumbered)[rows], return_inverse=True)
    sessions = list(table)
    return Hints(
        tuple(sessions[number] for number in used),
        ids[:MOST],
        places.reshape(-1).astype("<u4"),
        np.concatenate([part.seqs for part in parts])[rows],
    )


class Samples:
    """The samples of what a session stores, until they are put.  Used by one thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._found: dict[int, SegmentId] = {}
        self._put = 0

    def add(self, chunk_id: bytes, segment: SegmentId) -> None:
        """Note where a chunk was stored, if it is a sample."""
        if not is_sample(chunk_id):
            return
        self._found[_number(chunk_id)] = segment
        if len(self._found) >= PER_OBJECT:
            self.put()

    def put(self) -> None:
        """Put what was noted.  A failure is logged and no more: nobody needs it."""
        if not self._found:
            return
        place, plain = self._place, self.save()
        self._found.clear()
        self._put += 1
        name = layout.hints_name(place.domain, place.session, self._put)
        try:
            place.store.put(
                name, keys.seal(place.metadata_key.object_key(name), plain, place.random)
            )
        except StoreError as error:
            _log.warning("%s was not put; some chunks may be stored twice: %s", name, error)

    def save(self) -> bytes:
        """What was noted and not put yet."""
        rows = sorted(self._found.items())
        sessions = sorted({segment.session for _id, segment in rows})
        places = {session: number for number, session in enumerate(sessions)}
        return Hints(
            tuple(sessions),
            np.array([number for number, _segment in rows], "<u8"),
            np.array([places[segment.session] for _id, segment in rows], "<u4"),
            np.array([segment.seq for _id, segment in rows], "<u4"),
        ).encode()

    def restore(self, saved: bytes) -> None:
        """Go on with what another session saved."""
        hints = Hints.decode(saved)
        columns = (hints.ids.tolist(), hints.numbers.tolist(), hints.seqs.tolist())
        for number, session, seq in zip(*columns, strict=True):
            self._found[number] = SegmentId(hints.sessions[session], seq)


def read(reader: SegmentReader) -> list[Hints]:
    """What a backup looks at: the newest that were merged, and some of the sessions' own."""
    try:
        listed = _listed(reader)
        newest = islice(_readable(reader, [item for cycle, item in listed if cycle]), 1)
        own = [item for cycle, item in listed if not cycle][:LOOSE]
        sizes = accumulate(item.size for item in own)
        few = [item for item, size in zip(own, sizes, strict=True) if size <= LOOSE_BYTES]
        loose = list(_readable(reader, few))
        return [*newest, *([merged(loose)] if loose else [])]
    except StoreError as error:
        _log.warning("hints of domain %s can't be read: %s", reader.domain, error)
        return []


def merge(
    reader: SegmentReader,
    *,
    generation: str,
    alive: Collection[SessionId],
    whole: Mapping[SessionId, Collection[int]],
    random: Random,
    checkpoint: Checkpoint,
) -> None:
    """Make one object, named by `generation`, of all; see `Hints.without` for what is left out."""
    parts: list[Hints] = []
    read = lost = held = 0
    listed = _listed(reader)
    for hints in _readable(reader, [item for _cycle, item in reversed(listed)]):
        checkpoint()
        parts.append(hints.without(alive, whole))
        read += 1
        lost += len(hints) - len(parts[-1])
        held += len(parts[-1])
        if held > 2 * MOST:
            parts = [merged(parts)]
            held = len(parts[0])
    if len(listed) == read == 1 and listed[0][0] and not lost:
        return  # it is merged already
    if held:
        name = layout.merged_hints_name(reader.domain, generation)
        plain = merged(parts).encode()
        reader.store.put(name, keys.seal(reader.metadata_key.object_key(name), plain, random))
    for _cycle, item in listed:
        reader.store.delete(item.name)


def _listed(reader: SegmentReader) -> list[tuple[int, StoredObject]]:
    """The hints of the domain with the cycle that merged them (0: a session's), newest first."""
    found = []
    for item in reader.store.list(f"d/{reader.domain}/h/"):
        with contextlib.suppress(ValueError):
            found.append((layout.parse_hints_name(item.name), item))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def _readable(reader: SegmentReader, items: Iterable[StoredObject]) -> Iterator[Hints]:
    """Those of the objects that are there and whole."""
    for item in items:
        try:
            plain = keys.unseal(
                reader.metadata_key.object_key(item.name), reader.store.get(item.name), item.name
            )
            hints = Hints.decode(plain)
        except (ObjectNotFound, DamagedObject, *MALFORMED):
            continue
        yield hints
