"""`emberkeep repo verify`, `collect`, `stats` and `rebuild`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.tool import MIB, Tool

from emberkeep.cli.repo import locks
from emberkeep.cli.shown import size
from emberkeep.engine.errors import SourceError
from emberkeep.volumes.drivers.streams import FileSource


def damage(path: Path, at: int = 1000) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"damage")


def test_a_whole_repository_is_verified_in_three_depths(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    tool.back_up(image, "--container", "apart")
    for depth in (1, 2, 3):
        found = tool.told("verify", "--depth", depth)
        assert [(r["backups"], r["damaged"]) for r in found.values()] == [(1, []), (1, [])]
    assert "2 backups, 2 segments" in tool.output("verify")
    assert len(tool.told("verify", "--container", "apart")) == 1
    some = tool.told("verify", "--share", "0", "--container", "apart")
    (result,) = some.values()
    assert result["read_bytes"] < 3 * MIB


def test_damage_is_found_named_and_healed_by_the_next_backup(tool: Tool, image: Path) -> None:
    first, second = tool.back_up(image), tool.back_up(image)
    (segment,) = tool.segments()
    damage(segment)
    found = tool.run("verify")
    assert found.exit_code == 1
    assert segment.name in found.stderr
    for made in (first, second):
        assert f"backup {made['id']} needs what is damaged" in found.stderr
    assert {entry["state"] for entry in tool.told("list")} == {"damaged"}
    assert segment.name in tool.told("show", second["id"])["damage"][0]
    (result,) = tool.told("verify", code=1).values()
    assert sorted(result["quarantined"]) == sorted([first["id"], second["id"]])

    healed = tool.back_up(image)
    assert healed["new_chunks"] == 1
    tool.output("restore", healed["id"], tool.directory / "out")
    assert (tool.directory / "out").read_bytes() == image.read_bytes()
    refused = tool.refusal("restore", second["id"], tool.directory / "not", code=1)
    assert second["id"] in refused
    assert not (tool.directory / "not").exists()
    tool.output("delete", first["id"], second["id"])
    tool.output("verify")


def test_a_backup_whose_base_lost_something_is_whole_and_says_so(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    (segment,) = tool.segments()
    segment.unlink()
    made = tool.run("backup", image)
    assert made.exit_code == 1
    assert "stored anew" in made.stderr
    assert "emberkeep repo verify" in made.stderr
    tool.output("restore", "latest", tool.directory / "out")
    assert (tool.directory / "out").read_bytes() == image.read_bytes()


def test_a_collection_says_beforehand_what_it_will_remove_and_why(tool: Tool, image: Path) -> None:
    gone = tool.back_up(image)
    tool.output("delete", gone["id"])
    (segment,) = tool.segments()
    would = tool.output("collect", "--dry-run")
    assert f"{segment.name}: no backup needs it" in would
    assert "1 segments would be removed (2.0 MiB)" in would
    assert tool.segments() == [segment]
    (told,) = tool.told("collect", "--dry-run").values()
    assert (told["removed_segments"], len(told["reasons"])) == (1, 1)
    did = tool.output("collect")
    assert did.startswith("1 segments removed (2.0 MiB), 0 compacted, 0 kept (0 bytes)")
    assert tool.segments() == []


def test_a_collection_gives_up_what_nobody_runs_and_has_been_silent(
    tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FileSource):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            if offset:
                raise SourceError("a bad sector")
            super().read_into(offset, buffer)

    kept = tool.back_up(image, "--volume", "kept")
    with monkeypatch.context() as patched:
        patched.setattr("emberkeep.cli.repo.backup.FileSource", Failing)
        assert tool.refusal("backup", image) == "a bad sector"
    (home,) = tool.ledgers.iterdir()
    (session,) = _unended(tool)
    tool.output("collect")
    assert _unended(tool) == [session]
    tool.let_time_pass(hours=1)
    with locks.of_volume(home, "default", "disk.raw"):  # its process is there, but asleep
        assert locks.running(home) == {session}
        tool.output("collect")
        assert _unended(tool) == [session]
    assert locks.running(home) == set()
    tool.output("collect")
    assert _unended(tool) == []
    again = tool.back_up(image)
    assert again["resumed"]  # also from what was given up
    assert {entry["id"] for entry in tool.told("list")} == {kept["id"], again["id"]}


def _unended(tool: Tool) -> list[str]:
    (ledger,) = tool.ledgers.glob("*/ledger.sqlite")
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute("SELECT id FROM sessions WHERE state IN ('active', 'expired')")
        return [row[0] for row in rows]


def test_what_backups_take_is_told(tool: Tool, image: Path) -> None:
    first = tool.back_up(image)
    with image.open("r+b") as file:
        file.write(b"changed")
    second = tool.back_up(image)
    tool.back_up(image, "--container", "apart", "--volume", "w")
    found = {entry["container"]: entry for entry in tool.told("stats")}
    assert found.keys() == {"default", "apart"}
    (volume,) = found["default"]["volumes"].values()
    assert volume["logical"] == 2 * image.stat().st_size
    assert found["default"]["backups"].keys() == {first["id"], second["id"]}
    for usage in found["default"]["backups"].values():
        assert usage["volume"] == "disk.raw"
        assert 64 << 10 < usage["unique"] < 70 << 10 < usage["shared"]
        assert usage["stored"] == usage["unique"] + usage["shared"]
    assert list(found["apart"]["volumes"]) == ["w"]
    shown = tool.output("stats", "--container", "default")
    assert f"backup {second['id'][:12]} of disk.raw" in shown
    assert size(volume["stored"]) in shown
    assert "apart" not in shown


def test_a_rebuild_tells_what_is_broken(tool: Tool, image: Path) -> None:
    kept = tool.back_up(image)
    lost = tool.back_up(image, "--volume", "lost")
    for path in tool.store.glob(f"d/*/s/*/{lost['id']}/*"):
        path.unlink()
    elsewhere = Tool(tool.directory, machine="elsewhere")
    told = elsewhere.told("rebuild", "--yes", code=1)
    assert told["backups"] == 1
    assert list(told["broken"]) == [lost["id"]]
    assert kept["id"] in [entry["id"] for entry in elsewhere.told("list")]
    again = elsewhere.run("rebuild", "--yes")
    assert f"backup {lost['id']}: " in again.stderr


def test_containers_keep_their_labels_through_a_rebuild(tool: Tool, image: Path) -> None:
    first = tool.back_up(image, "--container", "one")
    tool.back_up(image, "--container", "two")
    elsewhere = Tool(tool.directory, machine="elsewhere")
    elsewhere.output("rebuild", "--yes")
    made = elsewhere.back_up(image, "--container", "one")
    assert (made["base"], made["new_chunks"]) == (first["id"], 0)
    assert len({entry["domain"] for entry in elsewhere.told("list")}) == 2


def test_one_container_that_fails_does_not_stop_the_others(tool: Tool, image: Path) -> None:
    tool.back_up(image, "--container", "one")
    broken = tool.back_up(image, "--container", "two")
    (root,) = tool.store.glob(f"d/*/r/{broken['id']}")
    root.unlink()
    gone = tool.back_up(image, "--container", "three")
    tool.output("delete", gone["id"])
    result = tool.run("collect")
    assert result.exit_code == 1
    assert "1 segments removed" in result.stdout
    assert broken["id"] in result.stderr
