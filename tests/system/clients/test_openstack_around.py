"""python-openstackclient, without Keystone: what people ask for around their backups."""

from pathlib import Path

import pytest
from tests.system.clients.page import Listing
from tests.system.clients.people import cinder_of, openstack_of
from tests.system.clients.programs import Client, fields, rows
from tests.system.clients.stage import Project
from tests.system.service import until

pytestmark = pytest.mark.slow


@pytest.fixture
def openstack(project: Project, tmp_path: Path, listing: Listing) -> Client:
    return openstack_of(project, tmp_path, listing)


def test_volumes(openstack: Client, project: Project) -> None:
    made = ("--size", "1", "--description", "of the shop", "--availability-zone", "az2")
    openstack("volume", "create", *made, "--property", "tier=gold", "data", "-c", "id")
    volume = project.find("volume", "data")["id"]
    openstack("volume", "set", "--name", "shop", "--property", "owner=storage", "data")
    openstack("volume", "unset", "--property", "tier", "shop")
    openstack("volume", "set", "--size", "2", "shop")
    assert project.settled("volume", volume)["size"] == 2
    openstack("volume", "set", "--bootable", "--read-only", "shop")
    openstack("volume", "set", "--image-property", "os=linux", "shop")
    openstack("volume", "show", "shop")
    seen = openstack.json("volume", "show", "shop")
    assert (seen["name"], seen["description"]) == ("shop", "of the shop")
    assert (seen["status"], seen["availability_zone"]) == ("available", "az2")
    assert seen["properties"] == {"owner": "storage", "readonly": "True"}
    assert seen["bootable"] is True
    assert seen["volume_image_metadata"] == {"os": "linux"}
    assert seen["os-vol-tenant-attr:tenant_id"] == project.id
    openstack("volume", "unset", "--image-property", "os", "shop")
    assert not openstack.json("volume", "show", "shop").get("volume_image_metadata")
    openstack("volume", "list", "--long")
    openstack("volume", "summary")
    assert openstack.json("volume", "summary")["Total Size"] == 2
    openstack("volume", "set", "--state", "error", "shop")
    assert [row["Name"] for row in openstack.json("volume", "list", "--status", "error")] == [
        "shop"
    ]
    openstack("volume", "delete", "shop")
    project.gone("volume", volume)


def test_volumes_from_other_things(openstack: Client, project: Project) -> None:
    data = project.volume("data", seed=1)
    backup = project.backup(data, "monday")
    assert backup
    openstack("volume", "create", "--backup", "monday", "from-backup", "-c", "name")
    openstack("volume", "create", "--source", "data", "from-volume", "-c", "name")
    for name in ("from-backup", "from-volume"):
        made = project.find("volume", name)
        assert made["status"] == "available"
        assert project.content(made["id"]) == project.content(data)


def test_snapshots(openstack: Client, project: Project) -> None:
    volume = project.volume("data", seed=1)
    about = ("--description", "before the upgrade", "--property", "owner=storage")
    openstack("volume", "snapshot", "create", "--volume", "data", *about, "before", "-c", "name")
    snapshot = project.find("snapshot", "before")["id"]
    openstack("volume", "snapshot", "set", "--name", "old", "--property", "keep=yes", "before")
    openstack("volume", "snapshot", "unset", "--property", "owner", "old")
    openstack("volume", "snapshot", "show", "old")
    seen = openstack.json("volume", "snapshot", "show", "old")
    assert (seen["name"], seen["volume_id"], seen["size"]) == ("old", volume, 1)
    assert seen["properties"] == {"keep": "yes"}
    openstack("volume", "snapshot", "list")
    assert [row["Name"] for row in openstack.json("volume", "snapshot", "list")] == ["old"]
    openstack("volume", "create", "--snapshot", "old", "copy", "-c", "name")
    assert project.content(project.find("volume", "copy")["id"]) == project.content(volume)
    openstack("volume", "snapshot", "set", "--state", "error", "old")
    openstack("volume", "snapshot", "delete", "old")
    project.gone("snapshot", snapshot)


def test_a_volume_in_use(
    openstack: Client, project: Project, tmp_path: Path, listing: Listing
) -> None:
    """`openstack` asks Nova about servers; `cinder` attaches without one."""
    volume = project.volume("data", seed=1)
    cinder = cinder_of(project, tmp_path, listing)
    connector = ("--connect", "True", "--host", "host", "--mountpoint", "/dev/vdb")
    attachment = fields(cinder("attachment-create", volume, *connector))["id"]
    cinder("attachment-complete", attachment)
    assert project.show("volume", volume)["status"] == "in-use"
    openstack("volume", "attachment", "list")
    (row,) = openstack.json("volume", "attachment", "list")
    assert (row["ID"], row["Volume ID"], row["Status"]) == (attachment, volume, "attached")
    assert openstack.json("volume", "attachment", "show", attachment)["Volume ID"] == volume
    refusal = openstack.refused("volume", "backup", "create", "data")
    assert "Backing up an in-use volume must use the force flag." in refusal
    openstack("volume", "backup", "create", "--force", "--name", "live", "data")
    assert project.find("backup", "live")["status"] == "available"
    until(lambda: project.show("volume", volume)["status"] == "in-use", "its old status")
    refusal = openstack.refused("volume", "delete", "data")
    assert "Volume status must be available or error" in refusal
    restored = openstack.json("volume", "backup", "restore", "live", "copy")["volume_id"]
    assert project.restored(restored) == project.content(volume)
    openstack("volume", "attachment", "delete", attachment)
    assert project.show("volume", volume)["status"] == "available"


def test_services(openstack: Client) -> None:
    openstack("volume", "service", "list")
    listed = openstack.json("volume", "service", "list")
    assert [(row["Binary"], row["Zone"], row["Status"], row["State"]) for row in listed] == [
        (f"cinder-{kind}", zone, "enabled", "up")
        for kind in ("backup", "volume")
        for zone in ("az1", "az2")
    ]


def test_a_service_that_takes_no_new_work(openstack: Client, project: Project) -> None:
    """Disabled, because its zone is to be emptied; what is in the other one goes on."""
    backup = project.backup(project.volume("data"), "monday", availability_zone="az2")
    host = next(
        row["Host"]
        for row in openstack.json("volume", "service", "list", "--service", "cinder-backup")
        if row["Zone"] == "az2"
    )
    change = ("volume", "service", "set")
    openstack(*change, "--disable", "--disable-reason", "maintenance", host, "cinder-backup")
    try:
        openstack("volume", "service", "list", "--service", "cinder-backup", "--long")
        create = ("volume", "backup", "create", "--name")
        openstack.run(*create, "refused", "--availability-zone", "az2", "data")
        assert project.find("backup", "refused")["status"] == "error"
        openstack.run(*create, "taken", "--availability-zone", "az1", "data")
        assert project.find("backup", "taken")["status"] == "available"
        assert "Service cinder-backup could not be found." in openstack.refused(
            "volume", "backup", "delete", "monday"
        )
    finally:
        openstack(*change, "--enable", host, "cinder-backup")
    openstack.run("volume", "backup", "delete", "monday")
    project.gone("backup", backup)


def test_messages(openstack: Client, project: Project) -> None:
    """Why something failed that had been accepted."""
    lost = ("--name", "lost", "--availability-zone", "nowhere", "data")
    project.volume("data")
    openstack.run("volume", "backup", "create", *lost)
    backup = project.find("backup", "lost")["id"]
    openstack("volume", "message", "list")
    (listed,) = openstack.json("volume", "message", "list")
    assert listed["Event ID"] == "VOLUME_VOLUME_BACKUP_013_024"
    assert listed["Resource UUID"] == backup
    assert listed["User Message"] == (
        "create backup:Backup failed to schedule. Service not found for creating backup."
    )
    # The SDK looks for the key `messages` in what Cinder calls `message`, and finds nothing.
    openstack("volume", "message", "show", listed["ID"])
    openstack("volume", "message", "delete", listed["ID"])
    assert openstack.json("volume", "message", "list") == []


def test_what_there_is(openstack: Client) -> None:
    printed = openstack("availability", "zone", "list", "--volume")
    assert [row["Zone Name"] for row in rows(printed)] == ["az1", "az2"]
    printed = openstack("volume", "type", "list")
    assert [row["Name"] for row in rows(printed)] == ["__DEFAULT__"]
    assert openstack.json("volume", "type", "show", "__DEFAULT__")["is_public"] is True
    assert openstack.json("volume", "type", "list", "--default")[0]["Name"] == "__DEFAULT__"
    openstack("block", "storage", "resource", "filter", "list")
    filters = openstack.json("block", "storage", "resource", "filter", "show", "backup")
    assert filters["Filters"] == ["name", "status", "volume_id"]
    openstack("volume", "backend", "pool", "list")
    pools = openstack.json("volume", "backend", "pool", "list")
    openstack("volume", "backend", "capability", "show", pools[0]["Name"].partition("#")[0])
