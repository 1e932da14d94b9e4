"""What `emberkeep repo` says to what can't be done: one line and exit code 2, no traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.tool import Tool

from emberkeep.cli.main import main


def wrong(tool: Tool, *words: object) -> str:
    """The last line of what is said to bad usage."""
    result = tool.run(str(words[0]), *words[1:])
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()[-1]


def test_no_repository_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMBERKEEP_REPOSITORY", raising=False)
    for command in ("list", "collect", "init"):
        result = CliRunner().invoke(main, ["repo", command])
        assert result.exit_code == 2
        assert "name the repository: --repo URL, or EMBERKEEP_REPOSITORY" in result.stderr


def test_there_is_no_repository(tmp_path: Path, tool: Tool) -> None:
    nothing = ("--repo", tmp_path / "nothing")
    for command in (("list",), ("backup", tool.key_file), ("collect",), ("rebuild", "--yes")):
        refusal = tool.refusal(command[0], *nothing, *command[1:])
        assert "nothing: the store holds no repository" in refusal
    assert not (tmp_path / "nothing").exists()
    assert "no such kind of store" in tool.refusal("init", "--repo", "ftp://host/path")


def test_the_key_is_missing_another_or_none(tool: Tool, image: Path) -> None:
    other = tool.directory / "other"
    assert "emberkeep key import" in tool.refusal("list", "--key-file", other)
    elsewhere = tool.directory / "elsewhere"
    tool.output("init", "--repo", elsewhere, "--key-file", other)
    assert "was made with another key" in tool.refusal("list", "--key-file", other)
    other.write_text("no key")
    assert "is no key file" in tool.refusal("backup", "--key-file", other, image)


@pytest.mark.parametrize("command", ["show", "delete", "restore"])
def test_there_is_no_such_backup(tool: Tool, image: Path, command: str) -> None:
    rest = (tool.directory / "out",) if command == "restore" else ()
    made = tool.back_up(image)
    assert "there is no backup 0000" in tool.refusal(command, "0000", *rest)
    for text in (made["id"][:3], "", "xyzw", made["id"] + "0", "/etc", made["id"].upper() + "Z"):
        assert "is no backup's id" in tool.refusal(command, text, *rest)
    assert [entry["id"] for entry in tool.told("list")] == [made["id"]]


def test_digits_that_begin_two_backups_choose_none(
    tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter("abcdef" + format(number, "026d") for number in range(2))
    monkeypatch.setattr(
        "emberkeep.engine.repository.Repository.new_session", lambda _self: next(ids)
    )
    for volume in ("one", "two"):
        tool.back_up(image, "--volume", volume)
    assert tool.refusal("delete", "abcde") == "abcde is ambiguous: 2 backups begin with it"
    assert len(tool.told("list")) == 2


def test_there_is_no_latest_one(tool: Tool, image: Path) -> None:
    out = tool.directory / "out"
    assert "no such backup" in tool.refusal("restore", "latest", out)
    tool.back_up(image)
    assert "no such backup" in tool.refusal("restore", "--volume", "other", "latest", out)
    assert "is no backup's id" in tool.refusal("delete", "latest")


def test_the_source_is_missing_or_no_volume(tool: Tool) -> None:
    missing = tool.directory / "missing"
    assert tool.refusal("backup", missing) == f"{missing}: No such file or directory"
    for other in (tool.directory, Path("/dev/null")):
        assert "is neither a file nor a block device" in tool.refusal("backup", other)


def test_the_target_cannot_be_written(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    nowhere = tool.directory / "no" / "where"
    assert "No such file or directory" in tool.refusal("restore", "latest", nowhere)
    for other in (tool.directory, Path("/dev/null")):
        refusal = tool.refusal("restore", "--force", "latest", other)
        assert "is neither a file nor a block device" in refusal


def test_what_an_option_wants_is_checked(tool: Tool, image: Path) -> None:
    assert "1 to 255 letters" in wrong(tool, "backup", "--volume", " ", image)
    assert "1 to 255 letters" in wrong(tool, "backup", "--container", "x" * 256, image)
    assert "--share" in wrong(tool, "verify", "--share", "5")
    assert "--depth" in wrong(tool, "verify", "--depth", "4")
    assert "under the label 'none'" in tool.refusal("collect", "--container", "none")
    both = ("--repo", tool.store, "--state-dir", tool.directory)
    assert "give one" in wrong(tool, "collect", *both)
    assert "is for a service" in wrong(tool, "rebuild", "--availability-zone", "az1")
    state = ("--state-dir", tool.directory / "state")
    assert "is for a bare repository" in wrong(tool, "stats", *state, "--container", "c")
    assert "emberkeep serve" in tool.refusal("stats", *state)


def test_a_ledger_that_is_none_is_reported(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    (ledger,) = tool.ledgers.glob("*/ledger.sqlite")
    for path in ledger.parent.glob("ledger.sqlite*"):
        path.unlink()
    ledger.write_bytes(b"no database" * 1000)
    assert "run emberkeep repo rebuild" in tool.refusal("backup", image)
    ledger.unlink()
    tool.output("rebuild", "--yes")
    tool.back_up(image)


def test_a_damaged_repository_is_reported(tool: Tool, image: Path) -> None:
    made = tool.back_up(image)
    (root,) = tool.store.glob("d/*/r/*")
    root.chmod(0o600)
    root.write_bytes(b"damage")
    (entry,) = tool.told("list")
    assert entry["state"] == "unreadable"
    assert "unreadable" in tool.output("list")
    tool.output("show", made["id"])
    out = tool.directory / "out"
    assert made["id"] in tool.refusal("restore", made["id"], out, code=1)
    tool.output("delete", made["id"])
    (tool.store / "format").chmod(0o600)
    (tool.store / "format").write_text("{}")
    assert "format: it is damaged" in tool.refusal("list", code=1)


def test_the_ledger_directory_cannot_be_written(tool: Tool, image: Path) -> None:
    blocked = tool.directory / "file"
    blocked.touch()
    refusal = tool.refusal("backup", "--ledger-dir", blocked / "below", image)
    assert "Not a directory" in refusal
