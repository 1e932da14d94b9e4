"""python-cinderclient, without Keystone: every `cinder backup-…` command with every option.

The client looks a name up in all projects, so each test has names of its own.
"""

import base64
import json
import re
import uuid
from pathlib import Path

import pytest
from tests.system.clients import programs
from tests.system.clients.page import Listing, listings
from tests.system.clients.people import cinder_of
from tests.system.clients.programs import Client, fields, rows
from tests.system.clients.stage import Project, project_on
from tests.system.service import Service, until

pytestmark = pytest.mark.slow


@pytest.fixture
def cinder(project: Project, tmp_path: Path, listing: Listing) -> Client:
    return cinder_of(project, tmp_path, listing)


def shown(cinder: Client, backup: str) -> dict[str, str]:
    return fields(cinder.run("backup-show", backup).output)


def names(cinder: Client, *filters: str) -> list[str]:
    """The names of the backups that a list shows; the list itself is shown, too."""
    return [row["Name"] for row in rows(cinder("backup-list", *filters))]


def test_first_steps(cinder: Client, project: Project) -> None:
    assert fields(cinder.run("create", "1", "--name", "first-data").output)["name"] == "first-data"
    volume = project.find("volume", "first-data")["id"]
    cinder("backup-create", "--name", "first", "first-data")
    assert project.find("backup", "first")["volume_id"] == volume
    (row,) = rows(cinder("backup-list"))
    assert (row["Name"], row["Status"], row["User ID"]) == ("first", "available", "operator")
    assert row["Volume ID"] == volume


def test_the_settings_on_the_command_line(
    project: Project, tmp_path: Path, listing: Listing
) -> None:
    cinder = Client(programs.cinder(), {}, tmp_path, listing.add)
    project.backup(project.volume("settings-data"), "settings")
    someone = ("--os-user-id", "operator", "--os-project-id", project.id)
    endpoint = ("--os-endpoint", f"http://127.0.0.1:{project.service.port}/v3")
    printed = cinder("--os-auth-type", "noauth", *someone, *endpoint, "backup-list")
    assert [row["Name"] for row in rows(printed)] == ["settings"]


def test_create_with_every_choice(cinder: Client, project: Project) -> None:
    volume = project.volume("choices", seed=1)
    cinder(
        *("backup-create", "--name", "monday", "--description", "before the upgrade"),
        *("--container", "weekly", "--availability-zone", "az2", "--force"),
        *("--metadata", "owner=storage", "ticket=17", "--", "choices"),
    )
    assert project.find("backup", "monday")["status"] == "available"
    seen = fields(cinder("backup-show", "monday"))
    assert seen.pop("id")
    assert seen.pop("created_at") == seen.pop("data_timestamp")
    assert seen.pop("updated_at")
    assert seen == {
        "availability_zone": "az2",
        "container": "weekly",
        "description": "before the upgrade",
        "fail_reason": "None",
        "has_dependent_backups": "False",
        "is_incremental": "False",
        "metadata": "{'owner': 'storage', 'ticket': '17'}",
        "name": "monday",
        "object_count": "1",
        "os-backup-project-attr:project_id": project.id,
        "size": "1",
        "snapshot_id": "None",
        "status": "available",
        "user_id": "operator",
        "volume_id": volume,
    }


def test_an_incremental_backup(cinder: Client, project: Project) -> None:
    volume = project.volume("changing", seed=1)
    refusal = cinder.refused("backup-create", "--incremental", "changing")
    assert "No backups available to do an incremental backup. (HTTP 400)" in refusal
    project.backup(volume, "changing-1")
    project.write(volume, seed=2)
    cinder("backup-create", "--name", "changing-2", "--incremental", "changing")
    project.find("backup", "changing-2")
    assert shown(cinder, "changing-2")["is_incremental"] == "True"
    assert shown(cinder, "changing-1")["has_dependent_backups"] == "True"


def test_a_backup_of_a_snapshot(cinder: Client, project: Project) -> None:
    volume = project.volume("snapped", seed=1)
    wanted = project.content(volume)
    asked = {"snapshot": {"volume_id": volume, "name": "before"}}
    answer = project.call("POST", "/snapshots", asked)
    snapshot = answer.body["snapshot"]["id"]
    project.settled("snapshot", snapshot)
    project.write(volume, seed=2)
    cinder("backup-create", "--name", "snapped-1", "--snapshot-id", snapshot, "snapped")
    project.find("backup", "snapped-1")
    assert shown(cinder, "snapped-1")["snapshot_id"] == snapshot
    answer = fields(cinder.run("backup-restore", "snapped-1", "--name", "snapped-copy").output)
    assert project.restored(answer["volume_id"]) == wanted


def test_what_cannot_be_backed_up(cinder: Client, project: Project) -> None:
    volume = project.volume("refused")
    refusal = cinder.refused("backup-create", "nothing")
    assert "No volume with a name or ID of 'nothing' exists." in refusal
    unknown = str(uuid.uuid4())
    refusal = cinder.refused("backup-create", "--snapshot-id", unknown, "refused")
    assert f"Snapshot {unknown} could not be found. (HTTP 404)" in refusal
    cinder("backup-create", "--name", "lost", "--availability-zone", "nowhere", "refused")
    assert project.find("backup", "lost")["status"] == "error"
    assert shown(cinder, "lost")["fail_reason"] == "Service not found for creating backup."
    for number in range(9):
        project.backup(volume, f"refused-{number}")
    refusal = cinder.refused("backup-create", "refused")
    assert "BackupLimitExceeded: Maximum number of backups allowed (10) exceeded" in refusal
    assert "(HTTP 413)" in refusal


def test_list_with_every_filter(cinder: Client, project: Project) -> None:
    wiki, shop = project.volume("wiki"), project.volume("shop")
    project.backup(wiki, "wiki-1")
    second = project.backup(wiki, "wiki-2", incremental=True)
    project.backup(shop, "shop-1")
    lost = {"volume_id": wiki, "name": "wiki-3", "availability_zone": "nowhere"}
    project.call("POST", "/backups", {"backup": lost})
    project.find("backup", "wiki-3")
    everything = ["shop-1", "wiki-1", "wiki-2", "wiki-3"]
    by_name = ("--sort", "name:asc")
    assert sorted(row["Name"] for row in rows(cinder.run("backup-list").output)) == everything
    assert names(cinder, *by_name) == everything
    assert names(cinder, "--sort", "created_at") == ["wiki-3", "shop-1", "wiki-2", "wiki-1"]
    assert names(cinder, *by_name, "--limit", "2") == everything[:2]
    assert names(cinder, *by_name, "--marker", second) == ["wiki-3"]
    assert names(cinder, "--name", "shop-1") == ["shop-1"]
    assert names(cinder, "--status", "error") == ["wiki-3"]
    assert names(cinder, *by_name, "--volume-id", wiki) == ["wiki-1", "wiki-2", "wiki-3"]
    assert names(cinder, "--filters", "status=error", f"volume_id={wiki}") == ["wiki-3"]
    assert names(cinder, "--filters", "name~=hop") == ["shop-1"]
    counted = cinder("backup-list", "--with-count", "--limit", "1", *by_name)
    assert [row["Name"] for row in rows(counted)] == ["shop-1"]
    assert "Backup in total: 4" in counted
    other = project_on(project.service)
    other.backup(other.volume("theirs"), "theirs-1")
    assert names(cinder, "--all-tenants", "--name", "theirs-1") == ["theirs-1"]
    refusal = cinder.refused("backup-list", "--sort", "name:up")
    assert "sort_dir must be one of the following: asc, desc." in refusal


def test_update(cinder: Client, project: Project) -> None:
    project.backup(project.volume("updated"), "plain", metadata={"owner": "storage"})
    cinder("backup-update", "--name", "weekly", "--description", "kept", "plain")
    seen = shown(cinder, "weekly")
    assert (seen["name"], seen["description"]) == ("weekly", "kept")
    assert seen["metadata"] == "{'owner': 'storage'}"
    cinder("backup-update", "--metadata", "ticket=17", "--", "weekly")
    seen = shown(cinder, "weekly")
    assert (seen["name"], seen["metadata"]) == ("weekly", "{'ticket': '17'}")


def test_reset_state(cinder: Client, project: Project) -> None:
    volume = project.volume("resets")
    one, two = project.backup(volume, "resets-1"), project.backup(volume, "resets-2")

    def both(status: str) -> bool:
        return all(project.show("backup", this)["status"] == status for this in (one, two))

    cinder("backup-reset-state", "--state", "error", "resets-1", "resets-2")
    until(lambda: both("error"), "the error")
    cinder("backup-reset-state", "resets-1", "resets-2")
    until(lambda: both("available"), "the end of the error")
    refusal = cinder.refused("backup-reset-state", "--state", "deleting", "resets-1")
    assert "Backup status: deleting is invalid, valid statuses are: ['available', 'error']." in (
        refusal
    )


def test_restore(cinder: Client, project: Project) -> None:
    volume = project.volume("source", seed=1)
    wanted = project.content(volume)
    backup = project.backup(volume, "source-1", availability_zone="az2")
    project.write(volume, seed=2)
    answer = fields(cinder("backup-restore", "source-1"))
    assert answer["backup_id"] == backup
    assert project.restored(answer["volume_id"]) == wanted
    answer = fields(cinder("backup-restore", "--name", "source-copy", "source-1"))
    assert answer["volume_name"] == "source-copy"
    assert project.restored(answer["volume_id"]) == wanted
    answer = fields(cinder("backup-restore", "--volume", volume, "source-1"))
    assert answer["volume_id"] == volume
    assert project.restored(volume) == wanted


def test_restore_to_a_volume_of_a_type_and_in_a_zone(cinder: Client, project: Project) -> None:
    """For these the client makes a volume from the backup instead of restoring to one."""
    volume = project.volume("placed", seed=1)
    wanted = project.content(volume)
    backup = project.backup(volume, "placed-1")
    answer = fields(cinder("backup-restore", "--availability-zone", "az2", "placed-1"))
    assert answer["volume_name"] == f"restore_backup_{backup}"
    assert project.restored(answer["volume_id"]) == wanted
    assert project.show("volume", answer["volume_id"])["availability_zone"] == "az2"
    typed = ("--name", "placed-2", "--volume-type", "__DEFAULT__")
    answer = fields(cinder("backup-restore", *typed, "placed-1"))
    assert project.restored(answer["volume_id"]) == wanted
    refusal = cinder.refused("backup-restore", "--volume", volume, *typed[2:], "placed-1")
    assert 'options are not valid when used with the "volume" option' in refusal


def test_export_and_import(cinder: Client, project: Project) -> None:
    volume = project.volume("exported", seed=1)
    wanted = project.content(volume)
    backup = project.backup(volume, "exported-1")
    record = fields(cinder("backup-export", backup))
    refusal = cinder.refused("backup-import", record["backup_service"], record["backup_url"])
    assert "Invalid backup: Backup already exists in database. (HTTP 400)" in refusal
    content = json.loads(base64.b64decode(record["backup_url"], validate=True))
    assert content["id"] == backup
    other = str(uuid.uuid4())
    url = base64.b64encode(json.dumps({**content, "id": other}).encode()).decode()
    answer = fields(cinder("backup-import", record["backup_service"], url))
    assert answer["id"] == other
    assert project.settled("backup", other)["status"] == "available"
    assert project.show("backup", other)["name"] == "exported-1"
    cinder.run("backup-delete", backup)
    project.gone("backup", backup)
    answer = fields(cinder.run("backup-restore", other).output)  # the data is still there
    assert project.restored(answer["volume_id"]) == wanted


def test_delete(cinder: Client, project: Project) -> None:
    volume = project.volume("chain", seed=1)
    wanted = project.content(volume)
    first = project.backup(volume, "chain-1")
    second = project.backup(volume, "chain-2", incremental=True)
    third = project.backup(volume, "chain-3", incremental=True)
    cinder("backup-delete", "chain-1", "chain-2")
    project.gone("backup", first)
    project.gone("backup", second)
    answer = fields(cinder.run("backup-restore", "chain-3", "--name", "chain-copy").output)
    assert project.restored(answer["volume_id"]) == wanted
    cinder("backup-delete", "--force", "chain-3")
    project.gone("backup", third)
    refusal = cinder.refused("backup-delete", "chain-3")
    assert "Unable to delete any of the specified backups." in refusal


def test_older_microversions(cinder: Client, project: Project) -> None:
    """`backup-update` came with 3.9, and what a backup shows grows with the version."""
    project.backup(project.volume("old"), "old-1")
    old = ("--os-volume-api-version", "3.8")
    assert "User ID" not in rows(cinder(*old, "backup-list"))[0]
    refusal = cinder.refused(*old, "backup-update", "old-1", code=2)
    assert "invalid choice: 'backup-update'" in refusal
    oldest = fields(cinder.run("--os-volume-api-version", "3.0", "backup-show", "old-1").output)
    assert len(oldest) == 16  # without the links, which the client leaves out
    assert "metadata" not in oldest


def test_versions(service: Service, cinder: Client) -> None:
    (version,) = rows(cinder("version-list").partition("Server")[2])
    assert (version["Id"], version["Min Version"], version["Version"]) == ("v3.0", "3.0", "3.71")


def test_no_option_of_a_backup_command_is_missing(tmp_path: Path) -> None:
    """What its own help names stands in a listing of this file on the page."""
    client = Client(programs.cinder(), {}, tmp_path, lambda _command, _output: None)
    helped = client.run("--os-volume-api-version", "3.71", "help").output
    commands = re.findall(r"^    (backup-[a-z-]+)", helped, re.MULTILINE)
    assert len(commands) == 9, helped
    lines = [
        line
        for name, listing in listings().items()
        if name.startswith("test_cinder.py")
        for line in listing.splitlines()
    ]
    for command in commands:
        uses = [line.split() for line in lines if line.startswith(f"$ cinder {command} ")]
        assert uses, command
        about = client.run("help", command).output
        for option in set(re.findall(r"^  (--[a-z-]+)", about, re.MULTILINE)):
            assert any(option in use for use in uses), (command, option)
