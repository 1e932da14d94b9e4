"""The ledger in the database passes the suite of all ledgers."""

import pytest
from tests.databases import Clock

from emberkeep.testing.ledger import LedgerConformance, PassBy


class TestSqlLedger(LedgerConformance):
    @pytest.fixture
    def pass_by(self, clock: Clock) -> PassBy:
        return clock.pass_by
