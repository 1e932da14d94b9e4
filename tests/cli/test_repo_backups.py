"""`emberkeep repo`: a person's way through it, from an empty directory on."""

import json
import os
from pathlib import Path

import pytest
from tests.cli.tool import MIB, Tool, an_image

from emberkeep.cli.repo import locks


def test_a_repository_is_made_with_its_key_once(tmp_path: Path) -> None:
    tool = Tool(tmp_path)
    made = tool.run("init")
    assert made.exit_code == 0
    assert f"emberkeep key export --key-file {tool.key_file}" in made.stderr
    assert tool.key_file.stat().st_mode & 0o777 == 0o600
    assert "holds a repository already" in tool.refusal("init")
    other = Tool(tmp_path, machine="here")
    facts = json.loads(
        Tool.run(other, "init", "--json", "--repo", tmp_path / "another").stdout
    )  # a directory will do, and the key serves for both
    assert facts["url"] == (tmp_path / "another").as_uri()


def test_a_file_is_backed_up_listed_shown_and_restored(tool: Tool, image: Path) -> None:
    made = tool.back_up(image)
    assert made["size"] == image.stat().st_size
    (listed,) = tool.told("list")
    assert (listed["id"], listed["volume"], listed["state"]) == (made["id"], "disk.raw", "whole")
    assert made["id"][:12] in tool.output("list")
    shown = tool.told("show", made["id"][:8])
    assert shown["description"]["source"] == str(image)
    assert made["id"] in tool.output("show", made["id"])
    target = tool.directory / "out.raw"
    assert tool.told("restore", made["id"][:8], target)["id"] == made["id"]
    assert target.read_bytes() == image.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert "2.0 MiB restored" in tool.output("restore", "latest", tool.directory / "again.raw")


def test_a_second_backup_stores_what_changed(tool: Tool, image: Path) -> None:
    first = tool.back_up(image)
    with image.open("r+b") as file:
        file.seek(MIB)
        file.write(b"changed")
    second = tool.back_up(image)
    assert (second["base"], second["new_chunks"], second["resumed"]) == (first["id"], 1, False)
    third = tool.output("backup", image)
    assert f"changes since {second['id'][:12]}" in third
    for made, what in ((first, "first.raw"), (second, "second.raw")):
        tool.output("restore", made["id"], tool.directory / what)
    assert (tool.directory / "second.raw").read_bytes() == image.read_bytes()
    assert (tool.directory / "first.raw").read_bytes() != image.read_bytes()


def test_the_newest_backup_is_the_base_also_if_the_last_one_was_deleted(
    tool: Tool, image: Path
) -> None:
    first, second = tool.back_up(image), tool.back_up(image)
    tool.output("delete", second["id"])
    assert tool.back_up(image)["base"] == first["id"]


def test_volumes_and_containers_are_told_apart(tool: Tool, image: Path) -> None:
    one = tool.back_up(image, "--volume", "one")
    two = tool.back_up(image, "--volume", "two")
    assert two["base"] is None
    apart = tool.back_up(image, "--volume", "one", "--container", "apart")
    assert apart["base"] is None
    ids = [entry["id"] for entry in tool.told("list", "--volume", "one")]
    assert sorted(ids) == sorted([one["id"], apart["id"]])
    assert [entry["id"] for entry in tool.told("list", "--container", "apart")] == [apart["id"]]
    assert len({entry["domain"] for entry in tool.told("list")}) == 2
    out = tool.directory / "out"
    assert tool.told("restore", "--volume", "two", "latest", out)["id"] == two["id"]
    wanted = ("--container", "apart", "--force")
    assert tool.told("restore", *wanted, "latest", out)["id"] == apart["id"]


def test_backups_are_deleted_in_any_order(tool: Tool, image: Path) -> None:
    made = [tool.back_up(image)["id"] for _ in range(4)]
    assert tool.told("delete", made[0], made[2][:10])["deleted"] == [made[0], made[2]]
    assert made[1] in tool.output("delete", made[1])
    (left,) = tool.told("list")
    assert left["id"] == made[3]
    tool.output("collect")
    tool.output("restore", made[3], tool.directory / "out")
    assert (tool.directory / "out").read_bytes() == image.read_bytes()
    tool.output("delete", made[3])
    tool.output("collect")
    assert tool.segments() == []
    assert tool.told("list") == []


def test_a_restored_file_is_sparse(tool: Tool, tmp_path: Path) -> None:
    image = tmp_path / "sparse.raw"
    with image.open("wb") as file:
        file.seek(64 * MIB)
        file.write(os.urandom(MIB))
        file.truncate(200 * MIB + 7)
    tool.back_up(image)
    out = tmp_path / "out.raw"
    tool.output("restore", "latest", out)
    assert out.stat().st_size == 200 * MIB + 7
    assert out.stat().st_blocks * 512 < 4 * MIB
    assert out.read_bytes() == image.read_bytes()


def test_an_empty_file_is_backed_up_too(tool: Tool, tmp_path: Path) -> None:
    image = tmp_path / "empty"
    image.touch()
    tool.back_up(image)
    tool.output("restore", "latest", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


def test_what_is_there_is_overwritten_by_force_only(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    there = tool.directory / "there.raw"
    there.write_bytes(b"\xff" * 3 * MIB)
    there.chmod(0o640)
    assert f"{there} exists" in tool.refusal("restore", "latest", there)
    assert there.read_bytes() == b"\xff" * 3 * MIB
    tool.output("restore", "--force", "latest", there)
    assert there.read_bytes() == image.read_bytes()
    assert there.stat().st_mode & 0o777 == 0o640
    link = tool.directory / "link"
    link.symlink_to(there)
    tool.output("restore", "--force", "latest", link)
    assert link.is_symlink()


def test_reading_needs_the_store_and_the_key_alone(tool: Tool, image: Path) -> None:
    made = tool.back_up(image)
    tool.back_up(image, "--container", "apart")
    elsewhere = Tool(tool.directory, machine="elsewhere")
    assert elsewhere.told("list") == tool.told("list")
    assert elsewhere.told("show", made["id"])["id"] == made["id"]
    elsewhere.output("restore", made["id"], tool.directory / "out")
    assert (tool.directory / "out").read_bytes() == image.read_bytes()
    assert elsewhere.told("stats") == tool.told("stats")
    assert not elsewhere.ledgers.exists()


def test_without_its_ledger_nothing_is_written_before_a_rebuild(tool: Tool, image: Path) -> None:
    made = tool.back_up(image)
    lost = Tool(tool.directory, machine="lost")
    for command in (("backup", image), ("delete", made["id"]), ("collect",), ("verify",)):
        assert "run emberkeep repo rebuild" in lost.refusal(*command)
    assert lost.told("rebuild", "--yes") == {"backups": 1, "broken": {}}
    again = lost.back_up(image)
    assert (again["base"], again["new_chunks"]) == (made["id"], 0)
    # What the first machine knows is old now.
    assert "run emberkeep repo rebuild" in tool.refusal("backup", image)
    assert len(tool.told("list")) == 2


def test_a_rebuild_asks_whether_nobody_else_is_there(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    refused = tool.run("rebuild")
    assert refused.exit_code == 2
    assert "no other process" in refused.stderr
    assert "nothing was changed" in refused.stderr
    (home,) = tool.ledgers.iterdir()
    with locks.shared(home):
        assert "in use by another process" in tool.refusal("rebuild", "--yes")
    with locks.alone(home):
        assert "being rebuilt" in tool.refusal("backup", image)
    assert "1 backups, 0 of them broken" in tool.output("rebuild", "--yes")


def test_two_backups_of_one_volume_at_once_are_refused(tool: Tool, image: Path) -> None:
    tool.back_up(image)
    (home,) = tool.ledgers.iterdir()
    with locks.of_volume(home, "default", "disk.raw"):
        refusal = tool.refusal("backup", image)
        assert refusal == "disk.raw is being backed up by another process; wait for that one"
        tool.back_up(image, "--volume", "another")
    tool.back_up(image)


def test_a_file_that_is_written_to_meanwhile_is_not_backed_up(
    tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emberkeep.volumes.drivers.streams import FileSource

    class Written(FileSource):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            super().read_into(offset, buffer)
            with image.open("r+b") as file:
                file.write(b"new")

    with monkeypatch.context() as patched:
        patched.setattr("emberkeep.cli.repo.backup.FileSource", Written)
        assert "was written to while it was backed up" in tool.refusal("backup", image)
    assert tool.told("list") == []
    assert tool.back_up(image)["resumed"]


def test_backups_of_a_service_are_listed_and_restored(tool: Tool, tmp_path: Path) -> None:
    """Its store and its key will do."""
    from tests.world import a_world

    with a_world(tmp_path / "state") as world:
        volume = world.a_volume(b"of a service" * 1000)
        backup = world.a_backup(volume.id, name="b")
        url = next(zone.repository for zone in world.configuration.zones)
        key = world.configuration.key_file
    named = ("--repo", url, "--key-file", key)
    (listed,) = tool.told("list", *named)
    assert (listed["volume"], listed["container"]) == (volume.id, backup.container)
    out = tmp_path / "out"
    tool.output("restore", *named, "latest", out)
    assert out.read_bytes().startswith(b"of a service")


def test_progress_goes_to_standard_error_and_json_has_none(tool: Tool, image: Path) -> None:
    shown = tool.run("backup", image)
    assert "disk.raw" in shown.stderr
    assert "disk.raw" not in shown.stdout
    assert tool.run("backup", "--json", image).stderr == ""


def test_an_image_of_many_segments_is_the_same_again(tool: Tool, tmp_path: Path) -> None:
    image = an_image(tmp_path / "large", 40 * MIB)
    made = tool.back_up(image, "--compression-level", "3")
    assert made["segments"] == len(tool.segments()) > 1
    tool.output("restore", "latest", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == image.read_bytes()
