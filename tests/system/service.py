"""A real `emberkeep serve` of its own, on a free port, with a person's means to look at it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
PROJECT = "c0ffee00c0ffee00c0ffee00c0ffee00"
PATIENCE = 120  # seconds after which a condition that never comes is a failure

# Quick signs of life and progress, so that a test sees what it waits for as it happens.
QUICK = "[jobs]\nprogress = 0.05\nheartbeat = 0.5\n"


@dataclass
class Answer:
    status: int
    headers: Message
    body: Any


@dataclass
class Service:
    """A running service; `process` is its parent process."""

    state: Path
    port: int
    process: subprocess.Popen[bytes]
    socket_path: Path | None = None

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        version: str = "3.71",
        project: str = PROJECT,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request as an admin of `project`, below `/v3/<project>` unless it begins `//`.

        `headers` go before those of that admin; one of "" is not sent.
        """
        sent = {
            "X-Auth-Token": f"user:{project}",
            "Content-Type": "application/json",
            "OpenStack-API-Version": f"volume {version}",
        } | (headers or {})
        url = path[1:] if path.startswith("//") else f"/v3/{project}{path}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{url}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={name: value for name, value in sent.items() if value},
        )
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            content = json.loads(text) if text and is_json else text.decode() or None
            return Answer(answer.status, answer.headers, content)

    def backup(self, backup_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/backups/{backup_id}").body["backup"])

    def volume(self, volume_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/volumes/{volume_id}").body["volume"])

    def progress(self, backup_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"//emberkeep/v1/backups/{backup_id}/progress")
        return dict(answer.body["progress"])

    def path(self, volume_id: str) -> Path:
        return Path(command("volume", "path", "--state-dir", self.state, volume_id).strip())

    def child(self, name: str) -> psutil.Process:
        """The running child process `name`: api or worker."""

        def find() -> psutil.Process | None:
            started = re.findall(rf"the {name} process started, pid (\d+)", self.log())
            with contextlib.suppress(psutil.Error):
                return psutil.Process(int(started[-1])) if started else None
            return None

        return until(find, f"a {name} process")

    def log(self) -> str:
        return (self.state / "log").read_text()

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended: {self.log()}")
        if self.socket_path is not None:
            return _status_over(self.socket_path) == 300
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5)
        except urllib.error.HTTPError as answer:
            return answer.code == 300
        except OSError:
            return False
        return False


def _status_over(path: Path) -> int | None:
    """What GET / is answered over a socket; None if nobody answers."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.settimeout(5)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\nHost: anything\r\n\r\n")
            return int(client.recv(100).split()[1])
        except (OSError, IndexError):
            return None


def until(condition: Callable[[], T], what: str, *, seconds: float = PATIENCE) -> T:
    """Ask again until the condition is true; return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.02)
    return value


def command(*arguments: str | Path, code: int = 0) -> str:
    """Run `emberkeep` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "emberkeep", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    state: Path, *options: str, port: int | None = None, socket_path: Path | None = None
) -> Service:
    """Start a service on `state`, and return when it is ready."""
    state.mkdir(exist_ok=True)
    if not (state / "emberkeep.conf").exists():
        (state / "emberkeep.conf").write_text(QUICK)
    port = port or free_port()
    with (state / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "emberkeep", "serve", "--state-dir", str(state),
             "--port", str(port), *options],
            stdout=log,
            stderr=log,
        )  # fmt: skip
    service = Service(state, port, process, socket_path)
    until(service.ready, "an answer of GET /")
    return service


def stop(service: Service) -> None:
    """End the service and all of its processes, whatever their state."""
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(service.process.pid).children(recursive=True)
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
        try:
            service.process.wait(20)
        except subprocess.TimeoutExpired:
            service.process.kill()
            service.process.wait()
    for child in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


@contextlib.contextmanager
def serving(state: Path, *options: str) -> Iterator[Service]:
    service = start(state, *options)
    try:
        yield service
    finally:
        stop(service)
