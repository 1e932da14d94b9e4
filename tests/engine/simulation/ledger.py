"""The ledger as its users have it: each transaction is one request, which may fail."""

from collections.abc import Callable
from typing import Any

from tests.engine.simulation.network import Network

from emberkeep.engine.memory_ledger import MemoryLedger


class LedgerUnreachable(Exception):
    """The database did not answer."""


class SimulatedLedger:
    """A `Ledger`; `now` is the one that it speaks to.

    `happened` is told of each transaction: its name, its first argument and its result.
    """

    def __init__(self, network: Network, clock: Callable[[], float]) -> None:
        self.now = MemoryLedger(clock)
        self.happened: Callable[[str, str, Any], None] = lambda _verb, _about, _result: None
        self._network = network
        self._clock = clock

    def empty(self) -> MemoryLedger:
        """One that knows nothing."""
        return MemoryLedger(self._clock)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def transaction(*args: Any, **kwargs: Any) -> Any:
            about = str(args[0]) if args else ""

            def effect() -> Any:
                result = getattr(self.now, verb)(*args, **kwargs)
                self.happened(verb, about, result)
                return result

            return self._network.ask("ledger", verb, about, effect, LedgerUnreachable)

        return transaction
