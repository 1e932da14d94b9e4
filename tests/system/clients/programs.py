"""The clients of others, each an unmodified program in an environment of its own."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.packages import CHECKOUT, environment

PATIENCE = 120  # seconds after which a command that does not end is a failure

OPENSTACK = CHECKOUT / ".venv-openstackclient/bin/openstack"  # made by `make client`


def cinder() -> Path:
    return environment("cinderclient") / "cinder"


def python_with_sdk() -> Path:
    return environment("openstacksdk") / "python"


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def all(self) -> str:
        return self.output + self.errors


@dataclass(frozen=True)
class Client:
    """One program with one person's settings; `told` hears of each command that is to be shown."""

    program: Path
    settings: Mapping[str, str]
    home: Path
    told: Callable[[str, str], None]
    options: tuple[str, ...] = ()  # given to every command, and not shown
    prefix: str = ""  # shown before every command

    def run(self, *words: str, typed: str = "", shown: bool = False) -> Ran:
        """Run it; `typed` is its standard input."""
        done = subprocess.run(
            [self.program, *self.options, *words],
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=alone(self.home) | dict(self.settings),
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        if shown:
            self.told(self.prefix + shlex.join((self.program.name, *words)), ran.all)
        return ran

    def __call__(self, *words: str) -> str:
        """Run a command that succeeds, show it, and return what it printed."""
        ran = self.run(*words, shown=True)
        assert ran.code == 0, ran
        return ran.output

    def refused(self, *words: str, code: int = 1) -> str:
        """Run a command that fails with `code`, show it, and return all that it printed."""
        ran = self.run(*words, shown=True)
        assert ran.code == code, ran
        return ran.all

    def json(self, *words: str) -> Any:
        """What a command of `openstack` answers; not shown."""
        ran = self.run(*words, "-f", "json")
        assert ran.code == 0, ran
        return json.loads(ran.output)


def alone(home: Path) -> dict[str, str]:
    """The environment variables of a person who has set nothing for clouds or Python."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OS_", "CINDER", "PYTHON", "XDG_"))
    }
    return inherited | {"HOME": str(home), "COLUMNS": "80"}


def rows(output: str) -> list[dict[str, str]]:
    """The rows of a printed table."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    if not lines:
        return []
    heading, *cells = ([cell.strip() for cell in line[1:-1].split(" | ")] for line in lines)
    return [dict(zip(heading, row, strict=True)) for row in cells]


def fields(output: str) -> dict[str, str]:
    """A printed table of one thing: its keys and values."""
    return {row[next(iter(row))]: row["Value"] for row in rows(output)}
