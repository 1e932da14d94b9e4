"""`emberkeep serve`: an API and a worker process under one parent that does nothing else.

The parent binds the port and makes the pipe by which the API wakes the worker, so that either child
may die and be started again without a connection or a wake-up being lost.  A child ends by itself
when its parent does.

Two processes, because hashing and compressing threads would fall far behind beside one busy Python
thread, and because a crash in a codec must not take the API along.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from emberkeep import assembly, state
from emberkeep.api import server as api_server
from emberkeep.config import NOAUTH, Configuration
from emberkeep.worker import server as worker_server

STOP_SECONDS = 8.5  # for the children to end by themselves; SIGTERM promises ten in all
RESTART_SECONDS = (0.1, 0.5, 1, 2, 5)  # before each start of a child that keeps dying

_log = logging.getLogger(__name__)
_spawn = multiprocessing.get_context("spawn")


class CannotListen(Exception):
    """The address is taken, or is none of this machine's."""


def serve(configuration: Configuration, *, started: Callable[[], None]) -> None:
    """Run until SIGTERM or SIGINT.  `started` is called once, when both children were started.

    Raises `StateError`, `CannotListen`, and whatever opening the repositories may raise.
    """
    with (
        state.locked(configuration.state_dir),
        contextlib.closing(_listen(configuration)) as listener,
    ):
        assembly.prepare(configuration)
        if configuration.auth_strategy == NOAUTH and configuration.unix_socket is None:
            state.write_clouds(configuration)
        wake_reader, wake_writer = _spawn.Pipe(duplex=False)
        lifeline, held = _spawn.Pipe(duplex=False)
        with wake_reader, wake_writer, lifeline, held, _stop_signals() as stop:
            for connection in (wake_reader, wake_writer):
                os.set_blocking(connection.fileno(), False)
            api = _Child("api", _run_api, (configuration, listener, lifeline, wake_writer))
            worker = _Child("worker", _run_worker, (configuration, lifeline, wake_reader))
            _supervise((api, worker), stop, started)


def _listen(configuration: Configuration) -> socket.socket:
    if configuration.unix_socket is None:
        return listen(configuration.bind, configuration.port)
    # With tokens, the directory decides who may connect; without, nobody but its owner may.
    mode = 0o600 if configuration.auth_strategy == NOAUTH else 0o666
    return listen_on_path(configuration.unix_socket, mode)


def listen(host: str, port: int) -> socket.socket:
    """Bind the API's address.  Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"can't listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from error
    return listener


def listen_on_path(path: Path, mode: int) -> socket.socket:
    """Bind a socket of this path, also where a service that is gone left one behind.

    Raises `CannotListen`.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777)  # nobody connects before the rights are set
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CannotListen(f"can't listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


class _Child:
    """One child process: started, and started again when it dies."""

    def __init__(
        self, name: str, target: Callable[..., None], arguments: tuple[object, ...]
    ) -> None:
        self.name = name
        self.start_at = 0.0  # monotonic seconds
        self.process: SpawnProcess | None = None
        self._target = target
        self._arguments = arguments
        self._deaths = 0

    def start(self) -> None:
        self.process = _spawn.Process(target=self._target, args=self._arguments, name=self.name)
        self.process.start()
        _log.info("the %s process started, pid %d", self.name, self.process.pid)

    def died(self) -> None:
        assert self.process is not None
        delay = RESTART_SECONDS[min(self._deaths, len(RESTART_SECONDS) - 1)]
        _log.warning(
            "the %s process ended (%s); starting it again", self.name, self.process.exitcode
        )
        self.process = None
        self._deaths += 1
        self.start_at = time.monotonic() + delay

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic seconds) for a child that was told to end."""
        if self.process is None:
            return
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            _log.warning("the %s process did not end in time; killing it", self.name)
            self.process.kill()
            self.process.join()


def _supervise(children: tuple[_Child, ...], stop: int, started: Callable[[], None]) -> None:
    try:
        for child in children:
            child.start()
        started()
        while True:
            now = time.monotonic()
            for child in children:
                if child.process is None and child.start_at <= now:
                    child.start()
            alive = {child.process.sentinel: child for child in children if child.process}
            waits = [child.start_at - now for child in children if child.process is None]
            ready = wait([stop, *alive], timeout=min(waits, default=None))
            if stop in ready:
                return
            for sentinel in ready:
                alive[sentinel].died()  # type: ignore[index]  # sentinels are integers
    finally:
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            child.terminate()
        for child in children:
            child.end(deadline)


@contextlib.contextmanager
def _stop_signals() -> Iterator[int]:
    """A descriptor that becomes readable when this process is told to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def stop(_signal: int, _frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(writer, b"\0")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _run_api(
    configuration: Configuration, listener: socket.socket, lifeline: Connection, wake: Connection
) -> None:
    _become_child(lifeline)
    api_server.run(configuration, listener, wake=_ringer(wake))


def _run_worker(configuration: Configuration, lifeline: Connection, woken: Connection) -> None:
    _become_child(lifeline)
    worker_server.run(configuration, woken=woken.fileno())


def _ringer(wake: Connection) -> Callable[[], None]:
    def ring() -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes, too
            os.write(wake.fileno(), b"\0")

    return ring


def _become_child(lifeline: Connection) -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
