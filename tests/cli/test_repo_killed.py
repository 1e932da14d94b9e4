"""`emberkeep repo` killed or interrupted in the middle, and called again."""

import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.tool import MIB, Tool, an_image, until

SIZE = 128 * MIB  # four segments
SEGMENT = 32 * MIB


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_image(tmp_path_factory.mktemp("image") / "large.raw", SIZE, seed=2)


def end(process: "subprocess.Popen[str]", how: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(how)
    process.send_signal(signal.SIGCONT)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def killed_backup(tool: Tool, image: Path, how: signal.Signals = signal.SIGKILL) -> str:
    """End a backup when at least one more segment is in the store; its words on standard error."""
    before = len(tool.segments())
    process = tool.start("backup", image)
    until(lambda: len(tool.segments()) > before, process)
    code, output, errors = end(process, how)
    assert (code, output) == (130 if how == signal.SIGINT else -how, "")
    return errors


def check_restored(tool: Tool, image: Path) -> None:
    target = tool.directory / "restored"
    tool.output("restore", "--force", "latest", target)
    assert target.read_bytes() == image.read_bytes()


def test_a_killed_backup_goes_on_where_it_was(tool: Tool, large: Path) -> None:
    killed_backup(tool, large)
    killed_backup(tool, large)
    stored = len(tool.segments())
    assert stored >= 2
    assert tool.told("list") == []
    made = tool.back_up(large)
    assert made["resumed"]
    assert made["stored_bytes"] < SIZE + 4 * MIB - (stored - 1) * SEGMENT
    check_restored(tool, large)
    tool.output("delete", made["id"])
    tool.output("collect")
    assert tool.segments() == []


def test_an_interrupted_backup_says_so_and_goes_on(tool: Tool, large: Path) -> None:
    errors = killed_backup(tool, large, signal.SIGINT)
    assert errors.splitlines()[-1] == "emberkeep: interrupted"
    assert "Traceback" not in errors
    assert tool.back_up(large)["resumed"]
    check_restored(tool, large)


def test_a_backup_that_was_killed_while_another_volume_is_backed_up_harms_neither(
    tool: Tool, large: Path, image: Path
) -> None:
    process = tool.start("backup", large)
    until(tool.segments, process)
    process.send_signal(signal.SIGSTOP)
    tool.back_up(image)
    tool.output("collect")
    assert end(process, signal.SIGKILL)[0] == -signal.SIGKILL
    tool.output("collect")
    assert tool.back_up(large)["resumed"]
    check_restored(tool, large)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_restore_that_ends_early_leaves_no_file(
    tool: Tool, large: Path, how: signal.Signals
) -> None:
    tool.back_up(large)
    target, other = tool.directory / "out.raw", tool.directory / "there.raw"
    other.write_bytes(b"what was there")
    partial = tool.directory / ".out.raw.emberkeep-partial"
    process = tool.start("restore", "latest", target)
    until(lambda: partial.exists() and partial.stat().st_blocks > 1000, process)
    process.send_signal(signal.SIGSTOP)
    assert "another process restores" in tool.refusal("restore", "latest", target)
    code, _output, errors = end(process, how)
    assert code == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in errors
    assert not target.exists()
    assert partial.exists() == (how == signal.SIGKILL)
    tool.output("restore", "latest", target)
    assert target.read_bytes() == large.read_bytes()
    assert not partial.exists()

    partial = tool.directory / ".there.raw.emberkeep-partial"
    process = tool.start("restore", "--force", "latest", other)
    until(lambda: partial.exists() and partial.stat().st_blocks > 1000, process)
    end(process, how)
    assert other.read_bytes() == b"what was there"


def test_a_killed_restore_holds_its_backup_no_longer_than_half_an_hour(
    tool: Tool, large: Path
) -> None:
    made = tool.back_up(large)
    partial = tool.directory / ".out.raw.emberkeep-partial"
    process = tool.start("restore", "latest", tool.directory / "out.raw")
    until(lambda: partial.exists() and partial.stat().st_blocks > 1000, process)
    end(process, signal.SIGKILL)
    tool.output("delete", made["id"])
    tool.output("collect")
    assert tool.segments() != []  # for all that is known the restore goes on
    tool.let_time_pass(hours=1)
    tool.output("collect")
    assert tool.segments() == []
