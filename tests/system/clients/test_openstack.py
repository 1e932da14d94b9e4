"""python-openstackclient, without Keystone: every `volume backup` command with every option."""

import base64
import json
import re
from pathlib import Path

import pytest
import yaml
from tests.system.clients.page import Listing, listings
from tests.system.clients.people import openstack_of
from tests.system.clients.programs import OPENSTACK, Client, rows
from tests.system.clients.stage import Project, project_on
from tests.system.service import Service, until

pytestmark = pytest.mark.slow


@pytest.fixture
def openstack(project: Project, tmp_path: Path, listing: Listing) -> Client:
    return openstack_of(project, tmp_path, listing)


def shown(openstack: Client, backup: str) -> dict[str, object]:
    return dict(openstack.json("volume", "backup", "show", backup))


def names(openstack: Client, *filters: str) -> list[str]:
    """The names of the backups that a list shows; the list itself is shown, too."""
    printed = openstack("volume", "backup", "list", *filters)
    return [row["Name"] for row in rows(printed)]


def test_first_steps(service: Service, tmp_path: Path, listing: Listing) -> None:
    """With the clouds.yaml that the service wrote."""
    file = service.state / "clouds.yaml"
    openstack = Client(
        OPENSTACK,
        {"OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": "emberkeep"},
        tmp_path,
        listing.add,
    )
    token = yaml.safe_load(file.read_text())["clouds"]["emberkeep"]["auth"]["token"]
    project = Project(service, token.partition(":")[2])
    openstack("volume", "create", "--size", "1", "data", "-c", "id", "-c", "name", "-c", "status")
    volume = project.find("volume", "data")["id"]
    openstack("volume", "backup", "create", "--name", "first", "data")
    assert project.find("backup", "first")["volume_id"] == volume
    assert names(openstack) == ["first"]
    (row,) = openstack.json("volume", "backup", "list")
    assert (row["Status"], row["Size"], row["Incremental"]) == ("available", 1, False)


def test_the_settings_on_the_command_line(
    project: Project, tmp_path: Path, listing: Listing
) -> None:
    openstack = Client(OPENSTACK, {}, tmp_path, listing.add)
    endpoint = f"http://127.0.0.1:{project.service.port}/v3"
    project.backup(project.volume("data"), "first")
    token = ("--os-token", f"operator:{project.id}", "--os-endpoint", endpoint)
    printed = openstack("--os-auth-type", "admin_token", *token, "volume", "backup", "list")
    assert [row["Name"] for row in rows(printed)] == ["first"]


def test_auth_type_none(service: Service, tmp_path: Path, listing: Listing) -> None:
    """Its token is the word `notused`, and so are the user and the project."""
    openstack = Client(OPENSTACK, {}, tmp_path, listing.add)
    none = ("--os-auth-type", "none", "--os-endpoint", f"http://127.0.0.1:{service.port}/v3")
    openstack(*none, "volume", "create", "--size", "1", "data", "-c", "name", "-c", "user_id")
    path = "/volumes/detail?all_tenants=1&project_id=notused"
    (volume,) = service.call("GET", path).body["volumes"]
    assert volume["os-vol-tenant-attr:tenant_id"] == volume["user_id"] == "notused"


def test_several_commands_in_one_process(openstack: Client, project: Project) -> None:
    project.backup(project.volume("data"), "first")
    commands = "volume backup show -f value -c status first\nvolume backup list -f value -c Name\n"
    ran = openstack.run(typed=commands)  # its exit code is 1 whatever happens
    assert (ran.output.split(), ran.errors) == (["available", "first"], "")


def test_create_with_every_choice(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    openstack(
        *("volume", "backup", "create", "--name", "monday", "--description", "before the upgrade"),
        *("--container", "weekly", "--availability-zone", "az2", "--force", "--no-incremental"),
        *("--property", "owner=storage", "--property", "ticket=17", "data"),
    )
    assert project.find("backup", "monday")["status"] == "available"
    openstack("volume", "backup", "show", "monday")
    seen = shown(openstack, "monday")
    assert seen.pop("id")
    assert seen.pop("created_at") == seen.pop("data_timestamp")
    assert seen.pop("updated_at")
    assert seen.pop("object_count") == 1
    assert seen == {
        "availability_zone": "az2",
        "container": "weekly",
        "description": "before the upgrade",
        "encryption_key_id": None,
        "fail_reason": None,
        "has_dependent_backups": False,
        "is_incremental": False,
        "metadata": {"owner": "storage", "ticket": "17"},
        "name": "monday",
        "project_id": project.id,
        "size": 1,
        "snapshot_id": None,
        "status": "available",
        "user_id": "operator",
        "volume_id": volume,
    }


def test_an_incremental_backup(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    refusal = openstack.refused("volume", "backup", "create", "--incremental", "data")
    assert "Invalid backup: No backups available to do an incremental backup." in refusal
    project.backup(volume, "monday")
    project.write(volume, seed=2)
    openstack("volume", "backup", "create", "--name", "tuesday", "--incremental", "data")
    project.find("backup", "tuesday")
    assert shown(openstack, "tuesday")["is_incremental"] is True
    assert shown(openstack, "monday")["has_dependent_backups"] is True
    assert names(openstack) == ["tuesday", "monday"]


def test_a_backup_of_a_snapshot(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    wanted = project.content(volume)
    some = ("-c", "name", "-c", "status", "-c", "volume_id")
    openstack("volume", "snapshot", "create", "--volume", "data", "before", *some)
    snapshot = project.find("snapshot", "before")["id"]
    project.write(volume, seed=2)
    openstack("volume", "backup", "create", "--name", "old", "--snapshot", "before", "data")
    project.find("backup", "old")
    assert shown(openstack, "old")["snapshot_id"] == snapshot
    assert project.show("snapshot", snapshot)["status"] == "available"
    restored = openstack.json("volume", "backup", "restore", "old", "copy")["volume_id"]
    assert project.restored(restored) == wanted
    openstack("volume", "snapshot", "delete", "before")
    project.gone("snapshot", snapshot)


def test_what_cannot_be_backed_up(openstack: Client, project: Project) -> None:
    project.volume("data")
    create = ("volume", "backup", "create")
    assert "No Volume found for nothing" in openstack.refused(*create, "nothing")
    refusal = openstack.refused(*create, "--snapshot", "nothing", "data")
    assert "No Snapshot found for nothing" in refusal
    openstack(*create, "--name", "lost", "--availability-zone", "nowhere", "data")
    assert project.find("backup", "lost")["status"] == "error"
    openstack("volume", "backup", "show", "lost", "-c", "status", "-c", "fail_reason")
    assert shown(openstack, "lost")["fail_reason"] == "Service not found for creating backup."
    openstack("volume", "backup", "delete", "lost")
    assert openstack.json("volume", "backup", "list") == []


def test_list_with_every_filter(openstack: Client, project: Project) -> None:
    data, mail = project.volume("data"), project.volume("mail")
    monday = project.backup(data, "monday")
    project.backup(data, "tuesday", incremental=True)
    project.backup(mail, "mail")
    lost = {"volume_id": data, "name": "lost", "availability_zone": "nowhere"}
    project.call("POST", "/backups", {"backup": lost})
    project.find("backup", "lost")
    everything = ["lost", "mail", "tuesday", "monday"]
    assert names(openstack, "--long") == everything
    assert names(openstack, "--name", "monday") == ["monday"]
    assert names(openstack, "--status", "error") == ["lost"]
    assert names(openstack, "--status", "available", "--volume", "data") == ["tuesday", "monday"]
    assert names(openstack, "--max-items", "2") == ["lost", "mail"]
    assert names(openstack, "--marker", "mail") == ["tuesday", "monday"]
    assert names(openstack, "--limit", "1") == everything  # page after page
    assert openstack.json("volume", "backup", "list", "--status", "restoring") == []
    by_ids = openstack.json("volume", "backup", "list", "--volume", data, "--marker", monday)
    assert by_ids == []
    long = openstack.json("volume", "backup", "list", "--long", "--name", "monday")
    assert long[0] | {"ID": "", "Created At": ""} == {
        "ID": "",
        "Name": "monday",
        "Description": None,
        "Status": "available",
        "Size": 1,
        "Incremental": False,
        "Created At": "",
        "Availability Zone": "az1",
        "Volume": data,
        "Container": "volumebackups",
    }


def test_list_of_all_projects(openstack: Client, project: Project) -> None:
    other = project_on(project.service)
    project.backup(project.volume("data"), "ours")
    theirs = other.backup(other.volume("data"), "theirs")
    assert names(openstack) == ["ours"]
    everywhere = openstack.json("volume", "backup", "list", "--all-projects")
    assert {"ours", "theirs"} <= {row["Name"] for row in everywhere}
    assert names(openstack, "--all-projects", "--name", "theirs") == ["theirs"]
    assert shown(openstack, theirs)["project_id"] == other.id


def test_set_and_unset(openstack: Client, project: Project) -> None:
    project.backup(project.volume("data"), "monday", metadata={"owner": "storage"})
    change = ("volume", "backup", "set")
    openstack(*change, "--name", "weekly", "--description", "kept", "monday")
    seen = shown(openstack, "weekly")
    assert (seen["name"], seen["description"]) == ("weekly", "kept")
    openstack(*change, "--property", "ticket=17", "weekly")
    assert shown(openstack, "weekly")["metadata"] == {"owner": "storage", "ticket": "17"}
    openstack(*change, "--no-property", "--property", "ticket=18", "weekly")
    assert shown(openstack, "weekly")["metadata"] == {"ticket": "18"}
    openstack("volume", "backup", "show", "weekly", "-c", "name", "-c", "metadata")
    openstack(*change, "--no-property", "weekly")
    seen = shown(openstack, "weekly")
    assert (seen["metadata"], seen["name"], seen["description"]) == ({}, "weekly", "kept")
    refusal = openstack.refused(*change, "--name", "x", "nothing")
    assert "No Backup found for nothing" in refusal


def test_set_the_state(openstack: Client, project: Project) -> None:
    backup = project.backup(project.volume("data"), "monday")
    for state in ("error", "available"):
        openstack("volume", "backup", "set", "--state", state, "monday")
        until(lambda state=state: project.show("backup", backup)["status"] == state, "the state")
    said = openstack.refused("volume", "backup", "set", "--state", "deleting", "monday", code=2)
    assert "invalid choice: 'deleting'" in said


def test_unset_asks_for_what_no_cinder_has(openstack: Client, project: Project) -> None:
    """openstacksdk sends DELETE /backups/ID/metadata/KEY, an unknown route: 404."""
    backup = project.backup(project.volume("data"), "monday", metadata={"a": "1", "b": "2"})
    refusal = openstack.refused("volume", "backup", "unset", "--property", "a", "monday")
    assert "404" in refusal
    assert project.show("backup", backup)["metadata"] == {"a": "1", "b": "2"}


def test_restore_to_a_new_volume(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    monday = project.content(volume)
    project.backup(volume, "monday")
    project.write(volume, seed=2)
    tuesday = project.content(volume)
    project.backup(volume, "tuesday", incremental=True)
    openstack("volume", "backup", "restore", "monday", "copy")
    copy = project.find("volume", "copy")["id"]
    assert project.restored(copy) == monday
    assert openstack.json("volume", "show", "copy")["size"] == 1
    assert tuesday != monday
    answer = openstack.json("volume", "backup", "restore", "tuesday", "newer")
    assert answer["volume_name"] == "newer"
    assert project.restored(answer["volume_id"]) == tuesday


def test_restore_over_a_volume(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    wanted = project.content(volume)
    backup = project.backup(volume, "monday")
    project.write(volume, seed=2)
    restore = ("volume", "backup", "restore")
    refusal = openstack.refused(*restore, "monday", "data")
    assert "Volume 'data' already exists" in refusal
    assert project.content(volume) != wanted
    openstack(*restore, "--force", "monday", "data")
    assert project.restored(volume) == wanted
    assert project.settled("backup", backup)["status"] == "available"
    small = project.call("POST", "/volumes", {"volume": {"size": 2, "name": "big"}}).body["volume"][
        "id"
    ]
    project.settled("volume", small)
    project.backup(small, "big")
    refusal = openstack.refused(*restore, "--force", "big", "data")
    assert "is too small to restore backup of size 2." in refusal


def test_restore_needs_a_name_or_a_volume(openstack: Client, project: Project) -> None:
    """The API makes a name where there is none; the client does not ask it."""
    project.backup(project.volume("data"), "monday")
    refusal = openstack.refused("volume", "backup", "restore", "monday")
    assert "Either of `name` or `volume_id` must be specified" in refusal


def test_export_and_import_of_a_record(openstack: Client, project: Project) -> None:
    """`record import` of this SDK posts to /backups/export_record, an unknown route: 404."""
    backup = project.backup(project.volume("data"), "monday")
    openstack("volume", "backup", "record", "export", "monday")
    record = openstack.json("volume", "backup", "record", "export", "monday")
    assert record["backup_service"].startswith("cinder.backup.drivers.")
    assert json.loads(base64.b64decode(record["backup_url"], validate=True))["id"] == backup
    refusal = openstack.refused(
        "volume", "backup", "record", "import", record["backup_service"], record["backup_url"]
    )
    assert "404" in refusal


def test_delete(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    wanted = project.content(volume)
    for name in ("monday", "tuesday", "wednesday"):
        project.backup(volume, name, incremental=name != "monday")
    openstack("volume", "backup", "delete", "monday", "tuesday")
    until(lambda: len(openstack.json("volume", "backup", "list")) == 1, "the deletions")
    assert names(openstack) == ["wednesday"]  # whole without those that it was based on
    answer = openstack.json("volume", "backup", "restore", "wednesday", "copy")
    assert project.restored(answer["volume_id"]) == wanted
    refusal = openstack.refused("volume", "backup", "delete", "nothing", "wednesday")
    assert "1 of 2 backups failed to delete." in refusal
    until(lambda: openstack.json("volume", "backup", "list") == [], "the deletion of the other")


def test_delete_by_force(openstack: Client, project: Project) -> None:
    """What is being restored cannot be deleted, but by force."""
    volume = project.volume("data", seed=1)
    backup = project.backup(volume, "monday")
    openstack("volume", "backup", "delete", "--force", "monday")
    project.gone("backup", backup)


def test_older_microversions(project: Project, tmp_path: Path, listing: Listing) -> None:
    token = ("--os-auth-type", "admin_token", "--os-token", f"operator:{project.id}")
    endpoint = ("--os-endpoint", f"http://127.0.0.1:{project.service.port}/v3")
    openstack = Client(OPENSTACK, {}, tmp_path, listing.add, options=(*token, *endpoint))
    project.backup(project.volume("data"), "monday")
    old = ("--os-volume-api-version", "3.8", "volume", "backup")
    assert rows(openstack(*old, "list"))[0]["Name"] == "monday"
    assert "3.9 or greater is required" in openstack.refused(*old, "set", "--name", "x", "monday")
    zone = ("--availability-zone", "az2", "data")
    assert "3.51 or greater is required" in openstack.refused(*old, "create", *zone)


def test_a_backup_over_the_quota(openstack: Client, project: Project) -> None:
    volume = project.volume("data")
    for number in range(10):
        project.backup(volume, str(number))
    refusal = openstack.refused("volume", "backup", "create", "data")
    assert "Maximum number of backups allowed (10) exceeded" in refusal


def test_no_option_of_a_backup_command_is_missing(tmp_path: Path) -> None:
    """What its own help names stands in a listing of this file on the page."""
    client = Client(OPENSTACK, {}, tmp_path, lambda _command, _output: None)
    helped = client.run("volume", "backup", "--help").output
    commands = re.findall(r"^  (volume backup .*)$", helped, re.MULTILINE)
    assert len(commands) == 9, helped
    lines = [
        line
        for name, listing in listings().items()
        if name.startswith("test_openstack.py")
        for line in listing.splitlines()
    ]
    for command in commands:
        uses = [line.split() for line in lines if line.startswith(f"$ openstack {command} ")]
        assert uses, command
        about, _, _ = client.run(*command.split(), "--help").output.partition("\noutput format")
        for option in set(re.findall(r"^  (--[a-z-]+)", about, re.MULTILINE)) - {"--help"}:
            if (command, option) not in WITH_KEYSTONE:
                assert any(option in use for use in uses), (command, option)


# A project is looked up in Keystone: test_keystone.py.
WITH_KEYSTONE = {("volume backup list", "--project")}
