"""Uses every call that openstacksdk has for backups; runs in the SDK's own environment.

Reads from standard input what `openstack.connect` is to be told, the user and project that this
is, and whether it is an admin.  Prints the ids of the volumes to which it restored `data`.
"""

import base64
import json
import sys
import uuid
from contextlib import contextmanager

import openstack
from openstack import exceptions

told = json.load(sys.stdin)
cloud = openstack.connect(**told["connect"])
storage = cloud.block_storage


@contextmanager
def refused(error: type[Exception], text: str = ""):
    try:
        yield
    except error as refusal:
        said = str(refusal)
    else:
        raise AssertionError(f"no {error.__name__}")
    assert text in said, said


def available(thing):
    return storage.wait_for_status(thing, "available", ["error"], interval=0.1, wait=60)


def names(**query) -> list[str]:
    return [backup.name for backup in storage.backups(**query)]


def created() -> None:
    volume = storage.find_volume("data", ignore_missing=False)
    backup = available(
        storage.create_backup(
            volume_id=volume.id,
            name="monday",
            description="before the upgrade",
            container="weekly",
            availability_zone="az2",
            metadata={"owner": "storage"},
            force=True,
            is_incremental=False,
            snapshot_id=None,
        )
    )
    assert (backup.name, backup.description) == ("monday", "before the upgrade")
    assert (backup.container, backup.availability_zone) == ("weekly", "az2")
    assert (backup.size, backup.object_count, backup.volume_id) == (1, 1, volume.id)
    assert backup.metadata == {"owner": "storage"}
    assert (backup.is_incremental, backup.has_dependent_backups) == (False, False)
    assert (backup.snapshot_id, backup.fail_reason) == (None, None)
    assert backup.data_timestamp == backup.created_at
    assert backup.encryption_key_id is None
    if told["admin"]:
        assert (backup.user_id, backup.project_id) == tuple(told["owner"])
    incremental = available(
        storage.create_backup(volume_id=volume.id, name="tuesday", is_incremental=True)
    )
    assert incremental.is_incremental
    assert storage.get_backup(backup.id).has_dependent_backups
    snapshot = available(storage.create_snapshot(volume_id=volume.id, name="before"))
    old = storage.create_backup(volume_id=volume.id, name="old", snapshot_id=snapshot.id)
    assert available(old).snapshot_id == snapshot.id
    with refused(exceptions.NotFoundException, "could not be found."):
        storage.create_backup(volume_id=str(uuid.uuid4()))
    with refused(exceptions.BadRequestException, "'no id' is not a 'uuid'"):
        storage.create_backup(volume_id="no id")


def found() -> None:
    monday = storage.find_backup("monday")
    assert storage.find_backup(monday.id).name == "monday"
    assert storage.find_backup("monday", details=False).id == monday.id
    assert storage.find_backup("nothing") is None
    with refused(exceptions.NotFoundException, "No Backup found for nothing"):
        storage.find_backup("nothing", ignore_missing=False)
    with refused(exceptions.NotFoundException):
        storage.get_backup(str(uuid.uuid4()))
    assert names() == ["old", "tuesday", "monday"]
    assert [backup.status for backup in storage.backups(details=False)] == [None] * 3
    assert names(limit=1) == names(limit=2) == ["old", "tuesday", "monday"]  # page after page
    assert names(limit=1, paginated=False) == ["old"]
    assert names(marker=storage.find_backup("tuesday").id) == ["monday"]
    assert names(offset=1, limit=1, paginated=False) == ["tuesday"]
    assert names(name="monday", status="available") == ["monday"]
    assert names(status="error") == []
    assert names(volume_id=monday.volume_id) == ["old", "tuesday", "monday"]
    assert names(sort_key="name", sort_dir="asc") == ["monday", "old", "tuesday"]
    assert names(sort="name:desc") == ["tuesday", "old", "monday"]
    everywhere = names(all_projects=True)
    if told["admin"]:
        assert {"monday", "elsewhere"} <= set(everywhere)
    else:
        assert everywhere == ["old", "tuesday", "monday"]


def changed() -> None:
    backup = storage.find_backup("monday")
    storage.update_backup(backup, name="weekly", description="kept", metadata={"ticket": "17"})
    seen = storage.get_backup(backup.id)
    assert (seen.name, seen.description, seen.metadata) == ("weekly", "kept", {"ticket": "17"})
    for unknown in (  # routes that no Cinder has for backups
        lambda: storage.fetch_backup_metadata(backup),
        lambda: storage.set_backup_metadata(backup, a="b"),
        lambda: storage.delete_backup_metadata(backup, ["ticket"]),
        lambda: storage.delete_backup_metadata(backup),
    ):
        with refused(exceptions.NotFoundException):
            unknown()
    assert storage.get_backup(backup.id).metadata == {"ticket": "17"}
    storage.update_backup(backup, name="monday")
    if not told["admin"]:
        with refused(exceptions.ForbiddenException, "backup_admin_actions:reset_status"):
            storage.reset_backup_status(backup, "error")
        return
    for state in ("error", "available"):
        storage.reset_backup_status(backup, state)
        storage.wait_for_status(backup, state, [], interval=0.1, wait=60)


def restored() -> list[str]:
    backup = storage.find_backup("monday")
    copy = storage.restore_backup(backup, name="copy")
    assert copy.volume_name == "copy"
    available(storage.get_volume(copy.volume_id))
    target = available(storage.create_volume(size=1, name="target", availability_zone="az2"))
    assert storage.restore_backup(backup.id, volume=target).volume_id == target.id
    until_restored(target.id)
    until_restored(copy.volume_id)
    from_backup = storage.create_volume(backup_id=backup.id, name="made")
    available(from_backup)
    with refused(exceptions.SDKException, "Either of `name` or `volume_id`"):
        storage.restore_backup(backup)
    return [copy.volume_id, target.id, from_backup.id]


def until_restored(volume_id: str) -> None:
    volume = storage.get_volume(volume_id)
    storage.wait_for_status(volume, "available", ["error_restoring"], interval=0.1, wait=60)


def moved() -> None:
    """A record is exported; this SDK posts the import to a path that no Cinder has."""
    backup = storage.find_backup("monday")
    if not told["admin"]:
        with refused(exceptions.ForbiddenException, "backup:export-import"):
            storage.export_backup(backup)
        return
    record = storage.export_backup(backup)["backup-record"]
    assert record["backup_service"].startswith("cinder.backup.drivers.")
    assert json.loads(base64.b64decode(record["backup_url"]))["id"] == backup.id
    assert cloud.export_volume_backup(backup.id).json()["backup-record"] == record
    with refused(exceptions.NotFoundException):
        storage.import_backup(record["backup_service"], record["backup_url"])


def used_in_the_cloud_layer() -> None:
    volume = cloud.get_volume("target")
    backup = cloud.create_volume_backup(volume.id, name="layered", wait=True, timeout=60)
    assert backup.status == "available"
    assert cloud.get_volume_backup("layered").id == backup.id
    assert [one.id for one in cloud.search_volume_backups("layered")] == [backup.id]
    assert "layered" in {one.name for one in cloud.list_volume_backups()}
    (only,) = cloud.list_volume_backups(filters={"name": "layered"})
    assert only.id == backup.id
    assert cloud.delete_volume_backup("layered", wait=True, timeout=60)
    assert not cloud.delete_volume_backup("layered")


def deleted() -> None:
    for name in ("tuesday", "monday", "old"):  # in any order
        backup = storage.find_backup(name)
        by_force = name == "old" and told["admin"]
        storage.delete_backup(backup, ignore_missing=False, force=by_force)
        storage.wait_for_delete(backup, interval=0.1, wait=60)
    assert names() == []
    storage.delete_backup(str(uuid.uuid4()))
    with refused(exceptions.NotFoundException):
        storage.delete_backup(str(uuid.uuid4()), ignore_missing=False)


def asked_around() -> None:
    """What is there beside backups; run before anything is made but the volume `data`."""
    assert [zone.name for zone in storage.availability_zones()] == ["az1", "az2"]
    assert [kind.name for kind in storage.types()] == ["__DEFAULT__"]
    assert "backups" in {extension.alias for extension in storage.extensions()}
    (filters,) = storage.resource_filters(resource="backup")
    assert filters.filters == ["name", "status", "volume_id"]
    summary = storage.summary(False)
    assert (summary.total_count, summary.total_size) == (1, 1)
    absolute = storage.get_limits().absolute
    assert (absolute.max_total_backups, absolute.total_backups_used) == (10, 0)
    owner = told["owner"][1]
    quota = storage.get_quota_set(owner, usage=True)
    assert (quota.backups, quota.usage["backups"]) == (10, 0)
    assert list(storage.attachments()) == []
    assert list(storage.snapshots()) == []
    if not told["admin"]:
        for forbidden in (storage.services, storage.backend_pools):
            with refused(exceptions.ForbiddenException, "Policy doesn't allow"):
                list(forbidden())
        return
    services = {(one.binary, one.availability_zone, one.state) for one in storage.services()}
    kinds = ("cinder-backup", "cinder-volume")
    assert services == {(kind, zone, "up") for kind in kinds for zone in ("az1", "az2")}
    pools = list(storage.backend_pools())
    host = pools[0].name.partition("#")[0]
    assert storage.get_capabilities(host).volume_backend_name
    storage.update_quota_set(owner, backups=20)
    assert storage.get_quota_set(owner).backups == 20
    storage.revert_quota_set(owner)
    assert storage.get_quota_set(owner).backups == 10


def told_why() -> None:
    """A message says why a backup failed that had been accepted."""
    volume = storage.find_volume("data")
    lost = storage.create_backup(volume_id=volume.id, name="lost", availability_zone="nowhere")
    storage.wait_for_status(lost, "error", [], interval=0.1, wait=60)
    assert storage.get_backup(lost.id).fail_reason == "Service not found for creating backup."
    asked_for = storage.default_microversion
    storage.default_microversion = "3.71"  # the SDK asks for none by itself, messages came with 3.3
    (message,) = storage.messages()
    assert (message.event_id, message.resource_uuid) == ("VOLUME_VOLUME_BACKUP_013_024", lost.id)
    assert storage.get_message(message.id).id == message.id
    storage.delete_message(message)
    assert list(storage.messages()) == []
    storage.default_microversion = asked_for
    storage.delete_backup(lost)
    storage.wait_for_delete(lost, interval=0.1, wait=60)


asked_around()
told_why()
created()
found()
changed()
volumes = restored()
moved()
used_in_the_cloud_layer()
deleted()
print(json.dumps(volumes))
