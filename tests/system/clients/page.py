"""docs/clients.md: its listings are what tests saw clients print.

A listing stands after a line `<!-- seen by FILE::TEST -->`.  The test compares it with what it saw,
or, where EMBERKEEP_WRITE_PAGE is set (`make docs-clients`), writes it.  Ids, times and ports, which
differ from run to run, are replaced by such as do not.
"""

import difflib
import fcntl
import os
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.packages import CHECKOUT

PAGE = CHECKOUT / "docs/clients.md"
WRITE = bool(os.environ.get("EMBERKEEP_WRITE_PAGE"))
LISTING = re.compile(r"<!-- seen by (\S+) -->\n```console\n(.*?)```\n", re.DOTALL)
WIDEST_CELL = 76

_IDS = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})(?![0-9A-Za-z])"
)
_MOMENT = re.compile(r"\b20\d\d-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.\d{6})?")
_PORT = re.compile(r"127\.0\.0\.1:\d+")
_RECORD = re.compile(r"(eyJkcml2ZXJfaW5mbyI6)[A-Za-z0-9+/=]+")


def listings() -> dict[str, str]:
    """What the page shows, by the name of the test that sees it."""
    return dict(LISTING.findall(PAGE.read_text()))


@dataclass
class Listing:
    """What one test has seen so far."""

    name: str
    text: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def add(self, command: str, output: str) -> None:
        lines = [line.rstrip() for line in output.strip("\n").splitlines()]
        seen = "\n".join((f"$ {command}", *lines)).rstrip()
        self.text += f"{_tables(self._steady(seen))}\n"

    def hide(self, value: str, shown: str) -> None:
        """Show something else wherever `value` would stand."""
        self.hidden[value] = shown

    def settle(self) -> None:
        """Compare with the page, or write it there."""
        if not self.text:
            return
        if WRITE:
            _write(self.name, self.text)
        shown = listings().get(self.name, "")
        differences = difflib.unified_diff(
            shown.splitlines(), self.text.splitlines(), PAGE.name, self.name, lineterm=""
        )
        assert shown == self.text, "\n".join(("make docs-clients writes it anew", *differences))

    def _steady(self, text: str) -> str:
        for value, shown in self.hidden.items():
            text = text.replace(value, shown)
        text = _IDS.sub(self._id, text)
        text = _MOMENT.sub(lambda m: f"2026-12-01{m[1]}09:30:00{'.000000' if m[2] else ''}", text)
        return _RECORD.sub(r"\1…", _PORT.sub("127.0.0.1:8776", text))

    def _id(self, found: re.Match[str]) -> str:
        """The n-th id that the test sees always looks the same, and all differ."""
        real = uuid.UUID(found[0])
        if not real.int:
            return found[0]
        if found[0] not in self.ids:
            shown = uuid.uuid5(uuid.NAMESPACE_OID, str(len(self.ids)))
            self.ids |= {str(real): str(shown), real.hex: shown.hex}
        return self.ids[found[0]]


def _tables(text: str) -> str:
    """The same with each table drawn anew, as wide as it has to be now."""
    out: list[str] = []
    table: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.startswith(("+-", "|")):
            table.append(line)
            continue
        out += _drawn(table)
        table = []
        out.append(line)
    return "\n".join(out[:-1])


def _drawn(table: list[str]) -> list[str]:
    cells = [
        [_short(cell.strip()) for cell in line[1:-1].split(" | ")] if line[0] == "|" else None
        for line in table
    ]
    whole = [row for row in cells if row]
    widths = [max(len(cell) for cell in column) for column in zip(*whole, strict=True)]
    border = "+".join(("", *("-" * (width + 2) for width in widths), ""))
    return [f"| {' | '.join(map(str.ljust, row, widths))} |" if row else border for row in cells]


def _short(cell: str) -> str:
    return cell if len(cell) <= WIDEST_CELL else f"{cell[: WIDEST_CELL - 1].rstrip()}…"


def _write(name: str, text: str) -> None:
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = PAGE.read_text()
        listing = f"<!-- seen by {name} -->\n```console\n{text}```\n"
        old = re.compile(
            rf"<!-- seen by {re.escape(name)} -->\n(?:```console\n.*?```\n)?", re.DOTALL
        )
        assert old.search(page), f"{PAGE.name} has no place for {name}"
        PAGE.write_text(old.sub(lambda _: listing, page, count=1))
