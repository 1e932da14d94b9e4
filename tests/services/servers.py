"""Servers of other projects as child processes, on ports of 127.0.0.1 that were free."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.packages import PATH

PATIENCE = 90  # seconds after which a server that does not answer is a failure


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; held at once, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@dataclass
class Server:
    """One process, which may be stopped and started again with the same data and port."""

    command: Sequence[str | Path]
    log: Path
    answers: Callable[[], bool]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers; if it does not, say what it logged."""
        # It gets a SIGTERM when we die, whatever we die of.
        command = ["setpriv", "--pdeathsig", "TERM", *self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": PATH, **self.environment},
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.command[0]} does not answer; {self.log}:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextlib.contextmanager
def serving(
    command: Sequence[str | Path],
    *,
    log: Path,
    answers: int | Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server while the context lasts; `answers` is its port, or asks whether it is up."""
    up = (lambda: listens(answers)) if isinstance(answers, int) else answers
    server = Server(command, log, up, environment or {})
    try:
        server.start()
        yield server
    finally:
        server.stop()
