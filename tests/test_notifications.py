"""How notifications leave a process, and when they don't."""

import logging
import sys
import threading
from pathlib import Path

import pytest

from emberkeep import config, notifications
from emberkeep.api import server
from emberkeep.backups.notifications import Payload, nobody
from emberkeep.config import Configuration, ConfigurationError
from emberkeep.notifications import Outbox

DRIVER = "[oslo_messaging_notifications]\ndriver = messagingv2\n"


def of(directory: Path, text: str) -> Configuration:
    (directory / "emberkeep.conf").write_text(text)
    return config.load(directory)


# The outbox.


def test_what_is_handed_over_is_sent_in_order() -> None:
    sent: list[str] = []
    outbox = Outbox(lambda _who, event, _payload: sent.append(event))
    for number in range(100):
        outbox("backup.host", f"event {number}", {})
    outbox.close(patience=60)
    assert sent == [f"event {number}" for number in range(100)]


def test_who_raises_is_logged_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []

    def send(_publisher: str, event: str, _payload: Payload) -> None:
        if event != "well":
            raise OSError("no broker")
        sent.append(event)

    outbox = Outbox(send)
    for event in ("ill", "ill", "ill", "well", "ill", "ill"):
        outbox("backup.host", event, {})
    outbox.close(patience=60)
    assert sent == ["well"]
    assert caplog.messages == ["notifications are lost: OSError('no broker')"] * 2
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_who_blocks_delays_nobody(caplog: pytest.LogCaptureFixture) -> None:
    go_on, sent = threading.Event(), []

    def send(_publisher: str, event: str, _payload: Payload) -> None:
        go_on.wait()
        sent.append(event)

    outbox = Outbox(send, room=2)
    for number in range(10):
        outbox("backup.host", str(number), {})
    assert caplog.messages == ["notifications are lost: they wait too long to be sent"]
    outbox.close(patience=0)  # a process that ends does not wait for it, either
    go_on.set()
    outbox.close(patience=60)
    assert 2 <= len(sent) <= 3
    assert sent == sorted(sent)


# The configuration.


def test_without_a_driver_nothing_is_sent_and_nothing_loaded(tmp_path: Path) -> None:
    configuration = of(tmp_path, "[oslo_messaging_notifications]\ntransport_url = rabbit://x/\n")
    assert configuration.notifications.drivers == ()
    server.check(configuration)
    with notifications.opened(configuration) as told:
        assert (told.notify, told.host) == (nobody, "emberkeep")
    assert "oslo_messaging" not in sys.modules


def test_a_driver_without_the_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "oslo_messaging", None)
    configuration = of(tmp_path, DRIVER)
    with pytest.raises(ConfigurationError) as caught:
        server.check(configuration)
    assert str(caught.value) == (
        f"{tmp_path}/emberkeep.conf: [oslo_messaging_notifications] driver: is set, but there is "
        "no oslo.messaging here; install emberkeep[notifications], or leave the option away"
    )
    with pytest.raises(ConfigurationError), notifications.opened(configuration):
        pass


def test_the_options_are_as_the_file_says(tmp_path: Path) -> None:
    of_progress = (
        "[DEFAULT]\ntransport_url = rabbit://user:secret@broker:5672/\n"
        "backup_object_number_per_notification = 3\nbackup_timer_interval = 60\n"
    )
    more = "driver = log\ntopics = notifications,audit\nretry = 5\n"
    of_broker = "[oslo_messaging_rabbit]\nssl = true\n"
    configuration = of(tmp_path, of_progress + DRIVER + more + of_broker)
    assert configuration.warnings == ()
    options = configuration.notifications
    assert options.drivers == ("messagingv2", "log")
    assert (options.objects, options.seconds) == (3, 60)
    without = of(tmp_path, "[DEFAULT]\nbackup_enable_progress_timer = false\n").notifications
    assert (without.objects, without.seconds, without.drivers) == (10, None, ())


def test_a_brokers_section_that_nobody_reads_is_warned_of(tmp_path: Path) -> None:
    (warning,) = of(tmp_path, "[oslo_messaging_rabbit]\nssl = true\n").warnings
    assert "[oslo_messaging_rabbit]: there is no such section" in warning


def test_a_driver_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, DRIVER.replace("messagingv2", "pigeon"))
    assert "[oslo_messaging_notifications] driver: " in str(caught.value)
