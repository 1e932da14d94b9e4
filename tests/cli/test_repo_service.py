"""`emberkeep repo … --state-dir`: about the repositories of a service's zones."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.world import PROJECT, World, a_caller, a_world

from emberkeep.cli.main import main
from emberkeep.engine.repository import DomainId, RootId

DATA = b"of a volume" * 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "state") as made:
        yield made


@contextmanager
def serving(world: World) -> Iterator[None]:
    """A worker that works as long as the block."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            world.work()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def run(world: World, command: str, *arguments: object) -> Result:
    words = ["repo", command, "--state-dir", str(world.configuration.state_dir)]
    with serving(world):
        result = CliRunner().invoke(main, [*words, *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(world: World, command: str, *arguments: object) -> Any:
    result = run(world, command, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_service_collects_and_says_beforehand_what(world: World) -> None:
    backup = world.a_backup(world.a_volume(DATA).id)
    segments = list(world.store("az1").glob("d/*/s/*/*/*"))
    assert told(world, "collect")["kept_segments"] == len(segments) == 1
    domain, root = DomainId(str(backup.domain)), RootId(str(backup.root))
    world.repositories["az1"].delete(domain, root)
    would = run(world, "collect", "--dry-run")
    assert "1 segments would be removed" in would.stdout
    assert f"{segments[0].name}: no backup needs it" in would.stdout
    assert segments[0].exists()
    did = run(world, "collect")
    assert did.stdout.startswith("1 segments removed (0.")
    assert not segments[0].exists()


def test_the_service_verifies(world: World) -> None:
    backup = world.a_backup(world.a_volume(DATA).id)
    assert [r["backups"] for r in told(world, "verify", "--depth", "3").values()] == [1]
    (segment,) = world.store("az1").glob("d/*/s/*/*/*")
    segment.unlink()
    found = run(world, "verify", "--depth", "1")
    assert found.exit_code == 1
    assert segment.name in found.stderr
    assert f"backup {backup.root} needs what is damaged" in found.stderr


def test_what_the_zones_backups_take_is_told(world: World) -> None:
    one = world.a_backup(world.a_volume(DATA).id, availability_zone="az1")
    two = world.a_backup(world.a_volume(DATA).id, availability_zone="az2")
    found = {entry["domain"]: entry for entry in told(world, "stats")}
    for backup, zone in ((one, "az1"), (two, "az2")):
        entry = found[backup.domain]
        assert entry["container"] == f"{zone}: project {PROJECT}, {backup.container}"
        assert entry["volumes"].keys() == {backup.volume_id}
        assert entry["backups"][backup.root]["logical"] == 1 << 30
    assert f"az1: project {PROJECT}" in run(world, "stats").stdout


def test_what_a_database_does_not_know_is_registered(world: World, tmp_path: Path) -> None:
    backup = world.a_backup(world.a_volume(DATA).id)
    new = tmp_path / "new"
    new.mkdir()
    new_key = new / "emberkeep.key"
    new_key.write_bytes(world.configuration.key_file.read_bytes())
    (new / "emberkeep.conf").write_text(f"[zone:az1]\nrepository = {world.store('az1').as_uri()}\n")
    words = ["repo", "rebuild", "--state-dir", str(new), "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["az1"]["registered"] == [backup.id]
    again = CliRunner().invoke(main, [*words[:-1], "--availability-zone", "az1"])
    assert again.stdout == "az1: 0 registered, 1 known before\n"
    other = CliRunner().invoke(main, [*words[:-1], "--availability-zone", "az9"])
    assert (other.exit_code, other.stderr.splitlines()[-1]) == (
        2, "emberkeep: no availability zone 'az9'; there are az1, az2",
    )  # fmt: skip
    assert world.backups.show(a_caller(), backup.id).status == "available"


def test_the_state_directory_in_place_is_taken_if_nothing_else_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.a_backup(world.a_volume(DATA).id)
    monkeypatch.chdir(world.configuration.state_dir.parent)
    monkeypatch.delenv("EMBERKEEP_REPOSITORY", raising=False)
    with serving(world):
        result = CliRunner().invoke(main, ["repo", "collect", "--json"])
    assert json.loads(result.stdout)["roots"] == 1


def test_a_named_service_counts_more_than_the_environment(world: World) -> None:
    words = ["repo", "stats", "--json", "--state-dir", str(world.configuration.state_dir)]
    result = CliRunner().invoke(main, words, env={"EMBERKEEP_REPOSITORY": "/nowhere"})
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
