"""Taking turns: of the threads that put one name, one at a time does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """For stores whose servers do not settle who of several that put one name was first."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._ended = threading.Condition()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait until nobody else of this process has `name`'s turn, and have it."""
        with self._ended:
            self._ended.wait_for(lambda: name not in self._taken)
            self._taken.add(name)
        try:
            yield
        finally:
            with self._ended:
                self._taken.remove(name)
                self._ended.notify_all()
