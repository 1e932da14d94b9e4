"""The ledger in memory passes the suite of all ledgers."""

import pytest
from tests.databases import Clock

from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.testing.ledger import LedgerConformance, PassBy


class TestMemoryLedger(LedgerConformance):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def pass_by(self, clock: Clock) -> PassBy:
        return clock.pass_by

    @pytest.fixture
    def ledger(self, clock: Clock) -> MemoryLedger:
        return MemoryLedger(clock=lambda: clock().timestamp())
