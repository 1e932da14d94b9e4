"""The way of notifications out of a process: through oslo.messaging, by a thread of its own.

oslo.messaging is optional and slow to load: it is imported only where the configuration names a
driver.  Where a broker is away it waits, or logs each notification that it could not send and
forgets it; only the thread waits.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_config import cfg

from emberkeep.backups.notifications import Notifications, Notify, Payload
from emberkeep.config import NOTIFICATIONS, Configuration, ConfigurationError

ROOM = 1000  # notifications that wait; further ones are dropped
PATIENCE = 1.0  # seconds for what waits when the process ends, twice

_log = logging.getLogger(__name__)
_Notification = tuple[str, str, Payload]


class Outbox:
    """Hands notifications to `send`, one after the other, which may raise and may block.

    What is handed over when there is no more room, and what `send` raises at, is lost; of troubles
    in a row the first is logged.
    """

    def __init__(self, send: Notify, *, room: int = ROOM) -> None:
        self._send = send
        self._waiting: queue.Queue[_Notification | None] = queue.Queue(room)
        self._troubled = False
        self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)
        self._thread.start()

    def __call__(self, publisher: str, event: str, payload: Payload) -> None:
        try:
            self._waiting.put_nowait((publisher, event, payload))
        except queue.Full:
            self._trouble("they wait too long to be sent")

    def close(self, *, patience: float = PATIENCE) -> None:
        """Give what waits some time to be sent."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=patience)
            self._thread.join(patience)

    def _work(self) -> None:
        while (notification := self._waiting.get()) is not None:
            try:
                self._send(*notification)
            except Exception as error:
                self._trouble(repr(error))
            else:
                self._troubled = False

    def _trouble(self, reason: str) -> None:
        if not self._troubled:
            self._troubled = True
            _log.error("notifications are lost: %s", reason)


@contextlib.contextmanager
def opened(configuration: Configuration) -> Iterator[Notifications]:
    """The notifications that the configuration asks for; none without a driver.

    Raises what `check` raises.
    """
    if not configuration.notifications.drivers:
        yield Notifications(host=configuration.host)
        return
    outbox = Outbox(_sender(configuration.file))
    try:
        yield Notifications(outbox, configuration.host)
    finally:
        outbox.close()


def check(configuration: Configuration) -> None:
    """Raise `ConfigurationError` if a driver is named that can't be used.  Connects to nothing."""
    if configuration.notifications.drivers:
        _sender(configuration.file)


def _sender(file: Path) -> Notify:
    """oslo.messaging's notifier, with the options that it finds in the file."""
    try:
        import oslo_messaging
        from oslo_messaging.exceptions import MessagingException
    except ImportError as error:
        raise ConfigurationError(
            f"{file}: [{NOTIFICATIONS}] driver: is set, but there is no oslo.messaging here; "
            "install emberkeep[notifications], or leave the option away"
        ) from error
    options = cfg.ConfigOpts()
    options(args=[], default_config_files=[str(file)] if file.exists() else [])
    try:
        transport = oslo_messaging.get_notification_transport(options)
        notifier: Any = oslo_messaging.Notifier(transport)
    except (MessagingException, ValueError) as error:  # whose words may quote the password
        raise ConfigurationError(
            f"{file}: [{NOTIFICATIONS}] transport_url: can't be used ({type(error).__name__})"
        ) from None

    def send(publisher: str, event: str, payload: Payload) -> None:
        notifier.prepare(publisher_id=publisher).info({}, event, dict(payload))

    return send
