"""Who is behind a request: what the two ways to find out have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import falcon

from emberkeep.api.context import Identity


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets instead of an identity."""

    status: str  # with its reason, as WSGI has it
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Authentication(Protocol):
    """Knows callers.  `open_paths` are answered without asking it."""

    @property
    def open_paths(self) -> tuple[str, ...]: ...

    def identify(self, req: falcon.Request) -> Identity | Answer:
        """Whom the request comes from, or how it is refused.  Raises `Fault`."""
