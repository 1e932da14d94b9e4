"""`emberkeep repo` on a repository of its own, in this process or in one that can be killed."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

import emberkeep
from emberkeep.cli.main import main

MIB = 1 << 20
PATIENCE = 60  # seconds


@dataclass
class Tool:
    """The command, with its store, key and ledger below one directory."""

    directory: Path
    machine: str = "here"  # each has a ledger directory of its own

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def key_file(self) -> Path:
        return self.directory / "key"

    @property
    def ledgers(self) -> Path:
        return self.directory / "ledgers" / self.machine

    @property
    def environment(self) -> dict[str, str]:
        return {
            "EMBERKEEP_REPOSITORY": self.store.as_uri(),
            "EMBERKEEP_KEY_FILE": str(self.key_file),
            "EMBERKEEP_LEDGER_DIR": str(self.ledgers),
            "COLUMNS": "200",
        }

    def run(self, command: str, *arguments: object) -> Result:
        words = ["repo", command, *map(str, arguments)]
        result = CliRunner().invoke(main, words, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a traceback, for a person
        return result

    def output(self, command: str, *arguments: object, code: int = 0) -> str:
        result = self.run(command, *arguments)
        assert result.exit_code == code, result.output
        return result.stdout.strip()

    def told(self, command: str, *arguments: object, code: int = 0) -> Any:
        """What it says as JSON."""
        return json.loads(self.output(command, "--json", *arguments, code=code))

    def refusal(self, command: str, *arguments: object, code: int = 2) -> str:
        """What a command says that fails: one line."""
        result = self.run(command, *arguments)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        (line,) = (line for line in result.stderr.splitlines() if "━" not in line)
        return line.removeprefix("emberkeep: ")

    def start(self, command: str, *arguments: object) -> "subprocess.Popen[str]":
        """The command in a process of its own."""
        path = str(Path(emberkeep.__file__).parent.parent)
        return subprocess.Popen(
            [sys.executable, "-m", "emberkeep", "repo", command, *map(str, arguments)],
            env={**os.environ, **self.environment, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def let_time_pass(self, *, hours: int) -> None:
        """Have every sign of life so far be as old as this."""
        (ledger,) = self.ledgers.glob("*/ledger.sqlite")
        with closing(sqlite3.connect(ledger, isolation_level=None)) as database:
            database.execute(
                "UPDATE sessions SET heartbeat_at = datetime(heartbeat_at, ?)", [f"-{hours} hours"]
            )

    def segments(self) -> list[Path]:
        return sorted(self.store.glob("d/*/s/*/*/*"))

    def back_up(self, source: Path, *options: object) -> Any:
        return self.told("backup", source, *options)


def an_image(path: Path, size: int, *, seed: int = 1) -> Path:
    """A file of random bytes."""
    dice = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(dice.randbytes(min(MIB, size - start)))
    return path


def until(reached: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait for a condition while the process runs."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
