"""`emberkeep key`: out of the machine, into it, replaced, and a project's destroyed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.world import OTHER_PROJECT, PROJECT, World, a_caller, a_world

from emberkeep import assembly, config, state
from emberkeep.backups.service import NewBackup
from emberkeep.cli.main import main
from emberkeep.db import domains
from emberkeep.engine.errors import KeyDestroyed, WrongKey
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import DomainId, Repository, RootId
from emberkeep.stores.errors import StoreError
from emberkeep.stores.posix import PosixStore
from emberkeep.testing.engine import Disk

DATA = b"of a volume" * 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "state") as made:
        yield made


def run(world: World, command: str, *arguments: object) -> Result:
    words = ["key", command, "--state-dir", str(world.configuration.state_dir)]
    result = CliRunner().invoke(main, [*words, *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def output(world: World, command: str, *arguments: object) -> str:
    result = run(world, command, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def restored(world: World, backup_id: str, *, project: str = PROJECT) -> bytes:
    """What a backup holds, read by a process that has just begun."""
    backup = world.backups.show(a_caller(project), backup_id)
    assert backup.domain is not None
    assert backup.root is not None
    (repository,) = (r for r in opened(world) if r.id == backup.repository)
    disk = Disk(backup.size_bytes or 0)
    repository.restore(DomainId(backup.domain), RootId(backup.root), disk)
    return bytes(disk.data[: len(DATA)])


def opened(world: World) -> list[Repository]:
    repositories = assembly.open_repositories(world.configuration, world.parts.database)
    return list(repositories.values())


def test_the_key_of_a_bare_repository_is_exported_and_imported(tmp_path: Path) -> None:
    key, copy = tmp_path / "key", tmp_path / "new" / "copy"
    KeyFile.create(key)
    text = CliRunner().invoke(main, ["key", "export", "--key-file", str(key)])
    assert text.exit_code == 0
    words = ["key", "import", "--key-file", str(copy), "-"]
    imported = CliRunner().invoke(main, words, input=text.stdout)
    assert imported.stdout.strip() == f"imported into {copy}"
    assert json.loads(copy.read_text()) == json.loads(key.read_text())
    again = CliRunner().invoke(main, words, input=text.stdout)
    assert (again.exit_code, again.stderr) == (2, f"emberkeep: {copy}: File exists\n")


# Rotation.


def test_after_a_rotation_the_old_key_opens_nothing(world: World) -> None:
    ids = [
        world.a_backup(world.a_volume(DATA).id, availability_zone=zone).id
        for zone in ("az1", "az2")
    ]
    key_file = world.configuration.key_file
    old = KeyFile.load(key_file)
    rotated = run(world, "rotate")
    assert rotated.exit_code == 0
    assert "4 keys of 2 repositories were wrapped with a new key" in rotated.stdout
    assert "emberkeep key export" in rotated.stderr
    assert json.loads(key_file.read_text()).keys() == {"title", "version", "key"}
    for backup_id in ids:
        assert restored(world, backup_id) == DATA
    for zone in ("az1", "az2"):
        with pytest.raises(WrongKey):
            Repository.open(PosixStore(world.store(zone)), old)
    world.repositories.update(zip(("az1", "az2"), opened(world), strict=True))
    again = world.a_backup(world.a_volume(DATA).id)
    assert restored(world, again.id) == DATA


@pytest.mark.parametrize("step", range(1, 9))
def test_a_rotation_may_be_interrupted_anywhere_and_repeated(
    world: World, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four keys are put and four wrappings removed; in between anything may happen."""
    ids = [
        world.a_backup(world.a_volume(DATA).id, availability_zone=zone).id
        for zone in ("az1", "az2")
    ]
    steps = 0

    def failing(name: str) -> None:
        real = getattr(PosixStore, name)

        def method(self: PosixStore, *arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                raise StoreError("the store is away")
            return real(self, *arguments)

        patched.setattr(PosixStore, name, method)

    with monkeypatch.context() as patched:
        failing("put")
        failing("delete")
        result = run(world, "rotate")
    assert (result.exit_code, result.stderr) == (2, "emberkeep: the store is away\n")
    for backup_id in ids:
        assert restored(world, backup_id) == DATA
    text = output(world, "export")
    assert text.startswith("emberkeep key, version 2")
    output(world, "rotate")
    for backup_id in ids:
        assert restored(world, backup_id) == DATA
    names = [p.name for p in world.store("az1").glob("key/*/*")]
    names += [p.name for p in world.store("az2").glob("d/*/key/*")]
    assert names == ["2", "1.2"]


def test_a_rotation_waits_for_no_service(world: World) -> None:
    before = world.configuration.key_file.read_bytes()
    with state.locked(world.configuration.state_dir):
        refused = run(world, "rotate")
    assert refused.exit_code == 2
    assert "in use by another emberkeep serve" in refused.stderr
    assert world.configuration.key_file.read_bytes() == before


def test_the_earlier_key_is_kept_while_a_store_needs_it_that_no_zone_names(world: World) -> None:
    backup = world.a_backup(world.a_volume(DATA).id, availability_zone="az2")
    away = world.store("az2").rename(world.store("az2").with_name("away"))
    refused = run(world, "rotate")
    assert refused.exit_code == 1
    assert str(backup.repository) in refused.stderr
    assert "was kept beside the new one" in refused.stderr
    shutil.rmtree(world.store("az2"), ignore_errors=True)
    away.rename(world.store("az2"))
    output(world, "rotate")
    assert restored(world, backup.id) == DATA
    assert json.loads(world.configuration.key_file.read_text())["version"] == 1


# Destroying.


def test_a_projects_key_is_destroyed_and_nothing_else(world: World) -> None:
    mine = [
        world.a_backup(world.a_volume(DATA).id, availability_zone=zone, container=label).id
        for zone, label in (("az1", "one"), ("az1", "two"), ("az2", "one"))
    ]
    other = a_caller(OTHER_PROJECT)
    world.caller = other
    theirs = world.a_backup(world.a_volume(DATA).id, container="one").id
    world.caller = a_caller()
    told = output(world, "destroy", "--project", PROJECT, "--yes")
    assert told == f"the key of project {PROJECT} was destroyed, for 3 backups\n"
    for backup_id in mine:
        with pytest.raises(KeyDestroyed):
            restored(world, backup_id)
    assert restored(world, theirs, project=OTHER_PROJECT) == DATA
    # A running service has had the keys in memory, and does not use them.
    volume_id = world.restored(mine[0])
    assert world.volumes.show(volume_id).status != "available"
    again = world.a_backup(world.a_volume(DATA).id, container="one")
    assert again.status == "available"
    assert restored(world, again.id) == DATA
    for backup_id in mine:
        world.backups.delete(a_caller(), backup_id)
    world.work()
    roots = [*world.store("az1").glob("d/*/r/*"), *world.store("az2").glob("d/*/r/*")]
    assert len(roots) == 2  # theirs, and the one that was made again


def test_only_a_containers_key_may_be_destroyed(world: World) -> None:
    gone = world.a_backup(world.a_volume(DATA).id, container="gone").id
    kept = world.a_backup(world.a_volume(DATA).id, container="kept").id
    output(world, "destroy", "--project", PROJECT, "--container", "gone", "--yes")
    with pytest.raises(KeyDestroyed):
        restored(world, gone)
    assert restored(world, kept) == DATA


def test_a_backup_that_waits_while_the_key_is_destroyed_has_a_new_one(world: World) -> None:
    gone = world.a_backup(world.a_volume(DATA).id)
    waiting = world.backups.create(a_caller(), NewBackup(world.a_volume(DATA).id))
    output(world, "destroy", "--project", PROJECT, "--yes")
    world.work()
    after = world.backups.show(a_caller(), waiting.id)
    assert after.status == "available"
    assert after.domain != gone.domain
    assert restored(world, waiting.id) == DATA


def test_nothing_is_destroyed_without_a_word(world: World) -> None:
    kept = world.a_backup(world.a_volume(DATA).id).id
    for answer in ("n\n", ""):
        words = ["key", "destroy", "--state-dir", str(world.configuration.state_dir)]
        refused = CliRunner().invoke(main, [*words, "--project", PROJECT], input=answer)
        assert refused.exit_code == 2
        assert "Make 1 backups of project" in refused.stderr
        assert "nothing was destroyed" in refused.stderr
    assert restored(world, kept) == DATA


def test_who_has_no_backups_has_no_key(world: World) -> None:
    world.a_backup(world.a_volume(DATA).id, container="one")
    for words in (("--project", OTHER_PROJECT), ("--project", PROJECT, "--container", "two")):
        refused = run(world, "destroy", *words, "--yes")
        assert refused.exit_code == 2
        assert "has no backups here" in refused.stderr


def test_a_store_that_no_zone_names_is_told_of(world: World, tmp_path: Path) -> None:
    gone = world.a_backup(world.a_volume(DATA).id, availability_zone="az1").id
    missed = world.a_backup(world.a_volume(DATA).id, availability_zone="az2")
    (world.configuration.state_dir / config.FILE_NAME).write_text(
        "[availability_zones]\nenabled = az1\n"
    )
    result = run(world, "destroy", "--project", PROJECT, "--yes")
    assert result.exit_code == 1
    assert str(missed.repository) in result.stderr
    with pytest.raises(KeyDestroyed):
        restored(world, gone)
    assert restored(world, missed.id) == DATA
    with world.parts.database.reading() as tx:
        labels = {row.repository: row.container for row in _rows(world, tx)}
    assert labels[str(missed.repository)] is not None


def _rows(world: World, tx: object) -> list[domains.Domain]:
    return [
        row
        for repository in domains.repositories_with_domains(tx)  # type: ignore[arg-type]
        for row in domains.domains_of(tx, repository)  # type: ignore[arg-type]
    ]
