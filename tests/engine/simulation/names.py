"""What must be true of names at every moment: each is written once, none goes that counts."""

import json
from collections.abc import Callable

from emberkeep.engine import keys, layout
from emberkeep.engine.ids import SessionId
from emberkeep.engine.keys import MetadataKey
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Phase, Segset, State
from emberkeep.engine.memory_ledger import MemoryLedger


class Names:
    """Sees all that is put and removed, and compares it with the ledger."""

    def __init__(
        self,
        metadata_key: MetadataKey,
        ledger: Callable[[], MemoryLedger | None],
        fail: Callable[[str], None],
    ) -> None:
        """`ledger`: the one whose word counts; None while it has been put back."""
        self._metadata_key = metadata_key
        self._ledger = ledger
        self._fail = fail
        self._written: dict[str, bytes] = {}
        self._gens: dict[str, dict[int, str]] = {}

    def named(self, segment: SegmentId) -> str | None:
        """The generation that counts."""
        ledger = self._ledger()
        row = ledger and ledger.segset(segment.session)
        return self._named(row, segment.seq) if row else None

    def check_put(self, name: str, data: bytes) -> None:
        """A name always stands for the same bytes."""
        if not name.startswith("d/"):
            return
        if self._written.setdefault(name, data) != data:
            self._fail(f"{name} was used again")
        if "/g/" in name:
            plain = keys.unseal(self._metadata_key.object_key(name), data, name)
            content = json.loads(plain)
            self._gens[name] = {int(seq, 16): generation for seq, generation in content.items()}

    def check_gens(self, session: SessionId) -> None:
        """What a gate names was put before."""
        ledger = self._ledger()
        row = ledger and ledger.segset(session)
        if row and row.gens and row.gens not in self._gens:
            self._fail(f"{row.gens} counts, but was never put")

    def check_delete(self, name: str) -> None:
        """Nothing goes that the ledger names."""
        ledger = self._ledger()
        if ledger is None:
            return
        kind = name.split("/")[2]
        if kind == "s":
            segment, generation = layout.parse_segment_name(name)
            row = ledger.segset(segment.session)
            if row is None or self._named(row, segment.seq) == generation:
                self._fail(f"{name} was removed, but it counts: {row}")
        elif kind == "g":
            _cycle, session = layout.parse_gens_name(name)
            row = ledger.segset(session)
            if row and row.phase != Phase.GONE and row.gens == name:
                self._fail(f"{name} was removed, but it counts: {row}")
        elif kind == "r":
            state = ledger.state(SessionId(layout.parse_root_name(name)))
            if state not in (State.ABORTED, State.REMOVING, State.REMOVED):
                self._fail(f"{name} was removed, but it is {state}")

    def _named(self, row: Segset, seq: int) -> str | None:
        if row.phase == Phase.GONE:
            return None
        return "0" if row.gens is None else self._gens[row.gens].get(seq)
