"""python-cinderclient, without Keystone: what people ask for around their backups.

The client looks a name up in all projects, so each test has names of its own.
"""

from pathlib import Path

import pytest
from tests.system.clients.page import Listing
from tests.system.clients.people import cinder_of
from tests.system.clients.programs import Client, fields, rows
from tests.system.clients.stage import Project
from tests.system.service import until

pytestmark = pytest.mark.slow


@pytest.fixture
def cinder(project: Project, tmp_path: Path, listing: Listing) -> Client:
    return cinder_of(project, tmp_path, listing)


def shown(cinder: Client, *words: str) -> dict[str, str]:
    return fields(cinder.run(*words).output)


def test_volumes(cinder: Client, project: Project) -> None:
    created = cinder.run("create", "1", "--name", "plain", "--metadata", "tier=gold", "--poll")
    assert fields(created.output)["status"] == "available"
    volume = project.find("volume", "plain")["id"]
    cinder("rename", "plain", "shop", "--description", "of the shop")
    cinder("metadata", "shop", "set", "owner=storage")
    cinder("metadata", "shop", "unset", "tier")
    cinder("metadata-show", "shop")
    assert shown(cinder, "metadata-show", "shop") == {"owner": "storage"}
    cinder("metadata-update-all", "shop", "a=b")
    assert shown(cinder, "metadata-show", "shop") == {"a": "b"}
    cinder("extend", "shop", "2")
    assert project.settled("volume", volume)["size"] == 2
    cinder("set-bootable", "shop", "True")
    cinder("readonly-mode-update", "shop", "True")
    cinder("image-metadata", "shop", "set", "os=linux")
    assert shown(cinder, "image-metadata-show", "shop") == {"os": "linux"}
    seen = shown(cinder, "show", "shop")
    assert (seen["description"], seen["bootable"], seen["size"]) == ("of the shop", "true", "2")
    cinder("list")
    summary = fields(cinder("summary"))
    assert (summary["total_count"], summary["total_size"]) == ("1", "2")
    cinder("reset-state", "--state", "error", "shop")
    assert project.show("volume", volume)["status"] == "error"
    cinder("delete", "shop")
    project.gone("volume", volume)
    other = project.volume("stuck")
    cinder("reset-state", "--state", "creating", "stuck")
    cinder("force-delete", "stuck")
    project.gone("volume", other)


def test_snapshots(cinder: Client, project: Project) -> None:
    volume = project.volume("snapped", seed=1)
    about = ("--name", "before", "--description", "before the upgrade", "--metadata", "keep=yes")
    assert shown(cinder, "snapshot-create", "snapped", *about)["name"] == "before"
    snapshot = project.find("snapshot", "before")["id"]
    cinder("snapshot-list")
    cinder("snapshot-rename", "before", "old")
    assert shown(cinder, "snapshot-show", "old")["volume_id"] == volume
    cinder("snapshot-metadata", "old", "set", "owner=storage")
    found = shown(cinder, "snapshot-metadata-show", "old")
    assert found == {"keep": "yes", "owner": "storage"}
    cinder("snapshot-reset-state", "--state", "error", "old")
    assert project.show("snapshot", snapshot)["status"] == "error"
    cinder("snapshot-delete", "old")
    project.gone("snapshot", snapshot)


def test_a_volume_in_use(cinder: Client, project: Project) -> None:
    volume = project.volume("used", seed=1)
    attachment = shown(cinder, "attachment-create", volume)["id"]
    assert project.show("volume", volume)["status"] == "reserved"
    cinder("attachment-update", attachment, "--host", "host", "--mountpoint", "/dev/vdb")
    cinder("attachment-complete", attachment)
    cinder("attachment-list")
    assert shown(cinder, "attachment-show", attachment)["status"] == "attached"
    refusal = cinder.refused("backup-create", volume)
    assert "Backing up an in-use volume must use the force flag. (HTTP 400)" in refusal
    cinder("backup-create", "--force", "--name", "live", volume)
    assert project.find("backup", "live")["status"] == "available"
    until(lambda: project.show("volume", volume)["status"] == "in-use", "its old status")
    cinder("attachment-delete", attachment)
    assert project.show("volume", volume)["status"] == "available"


def test_quotas(cinder: Client, project: Project) -> None:
    volume = project.volume("counted")
    project.backup(volume, "counted-1")
    assert shown(cinder, "quota-show", project.id)["backups"] == "10"
    cinder("quota-update", "--backups", "1", "--backup-gigabytes", "5", project.id)
    used = {row["Type"]: row for row in rows(cinder("quota-usage", project.id))}
    assert (used["backups"]["In_use"], used["backups"]["Limit"]) == ("1", "1")
    assert (used["backup_gigabytes"]["In_use"], used["backup_gigabytes"]["Limit"]) == ("1", "5")
    refusal = cinder.refused("backup-create", "counted")
    assert "Maximum number of backups allowed (1) exceeded (HTTP 413)" in refusal
    limits = {row["Name"]: row["Value"] for row in rows(cinder("absolute-limits"))}
    assert (limits["maxTotalBackups"], limits["totalBackupsUsed"]) == ("1", "1")
    cinder("quota-delete", project.id)
    assert shown(cinder, "quota-show", project.id)["backups"] == "10"
    assert shown(cinder, "quota-defaults", project.id)["backup_gigabytes"] == "1000"
    assert shown(cinder, "quota-class-show", "default")["backups"] == "10"


def test_services(cinder: Client, project: Project) -> None:
    listed = rows(cinder("service-list"))
    assert {(row["Binary"], row["Zone"], row["Status"], row["State"]) for row in listed} == {
        (f"cinder-{kind}", zone, "enabled", "up")
        for kind in ("backup", "volume")
        for zone in ("az1", "az2")
    }
    (host,) = (
        row["Host"]
        for row in rows(cinder.run("service-list", "--binary", "cinder-backup").output)
        if row["Zone"] == "az2"
    )
    cinder("service-disable", "--reason", "maintenance", host, "cinder-backup")
    try:
        (row,) = rows(
            cinder.run("service-list", "--host", host, "--binary", "cinder-backup").output
        )
        assert (row["Status"], row["Disabled Reason"]) == ("disabled", "maintenance")
    finally:
        cinder("service-enable", host, "cinder-backup")
    (row,) = rows(cinder.run("service-list", "--host", host, "--binary", "cinder-backup").output)
    assert (row["Status"], row["Disabled Reason"]) == ("enabled", "-")


def test_messages(cinder: Client, project: Project) -> None:
    project.volume("unlucky")
    cinder.run("backup-create", "--name", "lost", "--availability-zone", "nowhere", "unlucky")
    backup = project.find("backup", "lost")["id"]
    cinder("message-list")
    for filters in (
        ("--resource_uuid", backup),
        ("--resource_type", "VOLUME_BACKUP"),
        ("--event_id", "VOLUME_VOLUME_BACKUP_013_024"),
        ("--level", "ERROR", "--limit", "1", "--sort", "created_at:asc"),
    ):
        (row,) = rows(cinder.run("message-list", *filters).output)
        assert row["Resource UUID"] == backup
    message = row["ID"]
    seen = fields(cinder("message-show", message))
    assert seen["user_message"] == (
        "create backup:Backup failed to schedule. Service not found for creating backup."
    )
    cinder("message-delete", message)
    assert rows(cinder.run("message-list").output) == []


def test_what_there_is(cinder: Client) -> None:
    assert [row["Name"] for row in rows(cinder("availability-zone-list"))] == ["az1", "az2"]
    assert [row["Name"] for row in rows(cinder("type-list"))] == ["__DEFAULT__"]
    assert shown(cinder, "type-show", "__DEFAULT__")["name"] == "__DEFAULT__"
    assert rows(cinder.run("type-default").output)[0]["Name"] == "__DEFAULT__"
    (filters,) = rows(cinder("list-filters", "--resource", "backup"))
    assert filters == {"Resource": "backup", "Filters": "name, status, volume_id"}
    assert "backups" in {row["Alias"] for row in rows(cinder.run("list-extensions").output)}
    assert len(rows(cinder("get-pools", "--detail")))
    listed = rows(cinder.run("service-list", "--binary", "cinder-volume").output)
    assert cinder("get-capabilities", listed[0]["Host"])
