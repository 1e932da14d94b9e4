"""Damaged records: the lists that verifications leave, and what they mean to others.

    d/<domain>/bad/<session>.<seq>.<run>, sealed by the metadata key: JSON, the records' indexes

The ledger names the lists that count; a record in one of them serves no later backup.
"""

import json
from collections.abc import Collection, Iterable, Mapping

from emberkeep.engine import keys, layout
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.keys import MetadataKey, Random
from emberkeep.engine.layout import SegmentId
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound


class Bad:
    """The damaged records of a domain."""

    def __init__(
        self,
        records: Mapping[SegmentId, frozenset[int]],
        segments: Collection[SegmentId] = (),
    ) -> None:
        """`records`: the indexes of each segment's; `segments`: those that are bad altogether."""
        self._records = records
        self._segments = frozenset(segments)

    def __bool__(self) -> bool:
        return bool(self._records or self._segments)

    def __contains__(self, record: tuple[SegmentId, int]) -> bool:
        segment, index = record
        return segment in self._segments or index in self._records.get(segment, ())

    def just(self, segment: SegmentId) -> frozenset[int] | None:
        """The indexes of the segment's records; None if it is bad altogether."""
        return None if segment in self._segments else self._records.get(segment, frozenset())


NOTHING_BAD = Bad({})


def put(
    store: Store,
    metadata_key: MetadataKey,
    domain: DomainId,
    segment: SegmentId,
    indexes: Collection[int],
    random: Random,
) -> str:
    """List damaged records of a segment; returns the list's name."""
    name = layout.bad_name(domain, segment, random(4).hex())
    plain = json.dumps(sorted(indexes)).encode()
    store.put(name, keys.seal(metadata_key.object_key(name), plain, random))
    return name


def read(store: Store, metadata_key: MetadataKey, names: Iterable[str]) -> Bad:
    """What the lists say together; of a list that can't be read, all of its segment is bad."""
    records: dict[SegmentId, frozenset[int]] = {}
    unknown = set()
    for name in names:
        segment = layout.parse_bad_name(name)
        try:
            plain = keys.unseal(metadata_key.object_key(name), store.get(name), name)
            listed = frozenset(int(index) for index in json.loads(plain))
        except (ObjectNotFound, DamagedObject, *MALFORMED):
            unknown.add(segment)
            continue
        records[segment] = records.get(segment, frozenset()) | listed
    return Bad(records, unknown)


def in_ledger(bad: Mapping[SessionId, tuple[str, ...]]) -> list[str]:
    """All names that a ledger's `bad` gives."""
    return [name for names in bad.values() for name in names]
