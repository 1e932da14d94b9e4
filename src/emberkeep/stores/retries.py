"""When a store is asked again, and when it is given up."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from emberkeep.stores.errors import StoreError

_T = TypeVar("_T")


class Passing(StoreError):
    """A failure that may pass.  `after`: the seconds for which the store asks to be left alone."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent, and the seconds between: doubled each time, with jitter."""

    attempts: int = 9
    first_wait: float = 0.25
    longest_wait: float = 30.0  # also of those that the store asks for

    def persist(self, ask: Callable[[], _T], *, sleep: Callable[[float], None]) -> _T:
        """What `ask` returns, called again while it raises `Passing`.

        Raises `StoreError` with the last failure when all attempts are spent, or when the store
        asks for a longer wait than is granted.
        """
        for attempt in range(1, self.attempts):
            try:
                return ask()
            except Passing as error:
                if error.after is not None and error.after > self.longest_wait:
                    raise StoreError(
                        f"{error}; it asks to be left alone for {error.after:.0f} seconds"
                    ) from error
                sleep(self._wait(attempt, error.after or 0.0))
        try:
            return ask()
        except Passing as error:
            raise StoreError(f"{error}; given up after {self.attempts} attempts") from error

    def _wait(self, attempt: int, at_least: float) -> float:
        longest = min(self.longest_wait, self.first_wait * 2 ** (attempt - 1))
        # Never less than what was asked for; many who were sent away at once come back apart.
        return at_least + random.uniform(longest / 2, longest)


def retry_after(header: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks for, which may be a number or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
