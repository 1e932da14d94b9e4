"""What every ledger must do: inherit `LedgerConformance`, give two fixtures, and run pytest.

`ledger` is a ledger that nobody used before; `pass_by` lets so many seconds pass on its clock.
"""

from emberkeep.testing.ledger.collectors import (
    CollectorConformance,
    SettlingConformance,
    VerificationConformance,
)
from emberkeep.testing.ledger.means import PassBy as PassBy
from emberkeep.testing.ledger.races import RaceConformance
from emberkeep.testing.ledger.references import PinConformance, RootConformance
from emberkeep.testing.ledger.writers import WriterConformance


class LedgerConformance(
    WriterConformance,
    PinConformance,
    RootConformance,
    CollectorConformance,
    VerificationConformance,
    SettlingConformance,
    RaceConformance,
):
    """The contract of `engine.ledger`, as tests."""
