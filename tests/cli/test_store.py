"""`emberkeep store`: checks by URL and by configuration."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emberkeep import assembly, config
from emberkeep.cli.main import main
from emberkeep.engine.keyfile import KeyFile
from emberkeep.stores import check as checks


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_SECONDS", 0.0)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir(mode=0o700)
    return tmp_path / "store"


def run(*words: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, ["store", "check", *map(str, words)], env=environment)


def step(found: Result, name: str, *, store: int = 0) -> dict[str, str]:
    findings = json.loads(found.stdout)["stores"][store]["findings"]
    return next(one for one in findings if one["step"] == name)


def test_a_url_is_checked_line_by_line(private: Path) -> None:
    found = run(private.as_uri())
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert lines[0] == private.as_uri()
    assert all(line.startswith("  ✓ ") for line in lines[1:])
    assert lines[-1].endswith("there is none yet; the service makes one")
    assert list(private.iterdir()) == []


def test_what_is_wrong_ends_with_1(private: Path) -> None:
    private.chmod(0o777)
    found = run(private.as_uri())
    assert found.exit_code == 1
    assert f"✗ directory     others may remove what is in {private}" in found.stdout


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///dev/null/x", "/dev/null is no directory"),
        ("ftp://host/x", "no such kind of store"),
        ("swift:///backups", "also set auth_url"),
    ],
)
def test_what_cannot_be_reached_ends_with_2(url: str, told: str) -> None:
    found = run(url)
    assert found.exit_code == 2
    assert "✗" in found.stdout
    assert told in found.stdout


def test_an_environment_that_is_incomplete_ends_with_2() -> None:
    found = run("s3+http://127.0.0.1:1/backups", AWS_ACCESS_KEY_ID="key")
    assert found.exit_code == 2
    assert "emberkeep: the environment's secret_key: is missing" in found.stderr


def test_a_secret_in_a_url_is_not_shown() -> None:
    for words in ((), ("--json",)):
        found = run("s3+http://key:hush@127.0.0.1:1/backups", *words)
        assert found.exit_code == 2
        assert "127.0.0.1" in found.stdout
        assert "hush" not in found.output


def test_programs_get_json(private: Path) -> None:
    found = run("--json", private.as_uri())
    (store,) = json.loads(found.stdout)["stores"]
    assert (store["url"], store["zones"]) == (private.as_uri(), [])
    assert store["findings"][0] == {
        "step": "directory",
        "result": "fine",
        "text": f"{private} is there, for its user alone",
    }


@pytest.fixture
def state(tmp_path: Path, private: Path) -> Path:
    """A state directory of three zones, two of which share a store."""
    directory = tmp_path / "state"
    directory.mkdir()
    (directory / config.FILE_NAME).write_text(
        f"[availability_zones]\nenabled = az1, az2, vault\n"
        f"[zone:az1]\nrepository = {private.as_uri()}\n"
        f"[zone:vault]\nrepository = {private.as_uri()}\nvolumes = none\n"
    )
    return directory


def test_without_a_url_the_store_of_every_zone_is_checked_once(state: Path, private: Path) -> None:
    found = run("--state-dir", state)
    assert found.exit_code == 0
    headings = [line for line in found.stdout.splitlines() if not line.startswith("  ")]
    assert headings == [
        f"az1, vault: {private.as_uri()}",
        f"az2: {(state / 'stores' / 'az2').as_uri()}",
    ]
    assert not (state / "stores").exists()


def test_a_repository_is_told_and_whether_the_key_opens_it(state: Path) -> None:
    assembly.prepare(config.load(state))
    found = run("--json", "--state-dir", state)
    assert found.exit_code == 0
    assert "of version 1, which the service's key opens" in step(found, "repository")["text"]
    key_file = config.load(state).key_file
    key_file.unlink()
    KeyFile.create(key_file)
    found = run("--json", "--state-dir", state)
    assert found.exit_code == 1
    assert "was made with another key" in step(found, "repository")["text"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{}", "format is damaged, or something else's"),
        (b"\x80", "format is damaged, or something else's"),
        (b'{"repository": "r", "version": 99}', "repository r of version 99; this release reads"),
    ],
)
def test_what_is_no_repository_of_this_release_is_told(
    private: Path, content: bytes, told: str
) -> None:
    (private / "format").write_bytes(content)
    found = run("--json", private.as_uri())
    assert found.exit_code == 1
    assert told in step(found, "repository")["text"]


def test_a_wrong_configuration_is_told_in_one_line(state: Path) -> None:
    (state / config.FILE_NAME).write_text("[availability_zones]\nenabled =\n")
    found = run("--state-dir", state)
    assert found.exit_code == 2
    assert found.stderr.startswith("emberkeep: ")
