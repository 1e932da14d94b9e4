"""Records: what is exported can be imported, here and in another service."""

import base64
import binascii
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups import records
from emberkeep.backups.errors import (
    InvalidBackup,
    InvalidInput,
    Malformed,
    QuotaExceeded,
    ServiceUnavailable,
)
from emberkeep.backups.records import SERVICE, Record
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.jobs.queue import Kind

ADMIN = a_caller(CALLER.project_id, is_admin=True)
DATA = b"data" * 1000
KEYS = {
    "driver_info", "id", "user_id", "project_id", "volume_id", "host", "availability_zone",
    "container", "parent_id", "status", "fail_reason", "size", "display_name",
    "display_description", "service_metadata", "service", "object_count", "temp_volume_id",
    "temp_snapshot_id", "num_dependent_backups", "snapshot_id", "data_timestamp",
    "restore_volume_id", "metadata", "encryption_key_id", "created_at", "updated_at",
    "deleted_at", "deleted",
}  # fmt: skip


@pytest.fixture
def backup(stage: Stage) -> Backup:
    return stage.a_backup(
        stage.a_volume(DATA), name="n", description="d", metadata={"k": "v"}, container="c"
    )


def exported(stage: Stage, backup: Backup) -> dict[str, Any]:
    record = stage.backups.export_record(ADMIN, backup.id)
    assert record.backup_service == SERVICE
    found: dict[str, Any] = json.loads(base64.b64decode(record.backup_url, validate=True))
    return found


def a_record(content: object) -> Record:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Record(SERVICE, base64.b64encode(text).decode())


def test_a_record_has_cinders_keys_and_says_where_the_data_is(stage: Stage, backup: Backup) -> None:
    content = exported(stage, backup)
    assert content.keys() == KEYS
    repository = stage.repositories["az1"].id
    assert content["service_metadata"] == (
        f"emberkeep:1:{repository}:{backup.domain}:{backup.root}:{backup.root_sha256}"
    )
    assert content["created_at"] == backup.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (content["display_name"], content["metadata"]) == ("n", {"k": "v"})
    assert (content["driver_info"], content["deleted"], content["deleted_at"]) == ({}, False, None)
    assert stage.status(backup.id) == "available"


def test_a_deleted_row_is_revived_only_while_its_data_is_there(
    stage: Stage, backup: Backup
) -> None:
    content = exported(stage, backup)
    twin = stage.an_import({**content, "id": str(uuid.uuid4())}, project="twins")
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    revived = stage.an_import(content, project="new")
    assert (revived.id, revived.status, revived.project_id) == (backup.id, "available", "new")
    for row in (twin, revived):
        stage.backups.delete(a_caller(is_admin=True), row.id)
    stage.work()
    gone = stage.an_import(content, project="new")
    assert gone.status == "error"
    assert "deleted" in (gone.fail_reason or "")
    assert gone.root is None


@pytest.mark.parametrize("seen", ["nothing", "deleted"])
def test_who_imports_what_somebody_else_just_imported_is_refused(
    stage: Stage, backup: Backup, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    """He looked before; where writers wait for each other at rows alone, that is too early."""
    record = stage.backups.export_record(ADMIN, backup.id)
    look = table.get

    def before(tx: Transaction, backup_id: str, **asked: Any) -> Backup | None:
        if not asked.get("deleted"):
            return look(tx, backup_id, **asked)
        return None if seen == "nothing" else replace(backup, deleted=True)

    monkeypatch.setattr(table, "get", before)
    with pytest.raises(InvalidBackup, match="already exists in database"):
        stage.backups.import_record(ADMIN, record)
    monkeypatch.undo()
    assert stage.shown(backup.id) == backup
    assert stage.jobs(Kind.IMPORT) == []


def test_an_import_is_what_was_exported_under_a_new_owner(stage: Stage, backup: Backup) -> None:
    content = exported(stage, backup)
    imported = stage.an_import({**content, "id": str(uuid.uuid4())}, project="importers")
    assert imported.status == "available"
    same = (
        "volume_id", "size", "display_name", "display_description", "metadata", "container",
        "object_count", "service_metadata", "root", "domain", "repository", "availability_zone",
        "service",
    )  # fmt: skip
    assert {key: getattr(imported, key) for key in same} == {
        key: getattr(backup, key) for key in same
    }
    assert (imported.project_id, imported.user_id) == ("importers", "user")
    assert imported.created_at == backup.created_at.replace(microsecond=0)


def test_another_service_restores_it_with_the_store_and_the_key(
    stage: Stage, backup: Backup, tmp_path: Path
) -> None:
    content = exported(stage, backup)
    (tmp_path / "other").mkdir()
    other = Stage(tmp_path / "other", stores=stage.stores)
    imported = other.an_import(content)
    assert (imported.status, imported.id) == ("available", backup.id)
    assert other.session(backup.root) == "committed"
    volume_id = other.restore_as(a_caller(is_admin=True), imported.id)
    other.work()
    assert other.content(volume_id, len(DATA)) == DATA
    other.backups.delete(a_caller(is_admin=True), imported.id)
    other.work()
    assert stage.stores["az1"].names("/r/") == []
    other.close()


def test_what_is_checked_before_it_is_accepted(stage: Stage, backup: Backup) -> None:
    """In Cinder's order; each time, what is checked later is wrong, too."""

    class Denied(Exception):
        pass

    def denied(rule: str, project_id: str | None) -> None:
        assert (rule, project_id) == ("backup:backup-import", None)
        raise Denied

    stage.set_limits(quota_backups=0)
    content = exported(stage, backup)
    stage.clock.pass_by(3600)  # no service is up any more
    with pytest.raises(Denied):
        stage.backups.import_record(a_caller(authorize=denied), a_record(b"?"))
    with pytest.raises(ServiceUnavailable) as caught:
        stage.backups.import_record(ADMIN, a_record(b"?"))
    assert str(caught.value) == f"Service {SERVICE} could not be found."
    stage.one.beat()
    with pytest.raises(InvalidInput):
        stage.backups.import_record(ADMIN, a_record(b"?"))
    with pytest.raises(InvalidBackup) as known:
        stage.backups.import_record(ADMIN, a_record(content))
    assert str(known.value) == "Invalid backup: Backup already exists in database."
    with pytest.raises(QuotaExceeded):
        stage.backups.import_record(ADMIN, a_record({**content, "id": str(uuid.uuid4())}))


A_UUID = str(uuid.uuid4())
NO_ID = "Invalid input received: Provided backup record is missing an id"


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"\xff", InvalidInput, "Invalid input received: Can't parse backup record."),
        (b"{", InvalidInput, "Invalid input received: Can't parse backup record."),
        (b"[" * 100_000, InvalidInput, "Invalid input received: Can't parse backup record."),
        (1, Malformed, None),
        (None, Malformed, None),
        ([], InvalidInput, NO_ID),
        ("text", InvalidInput, NO_ID),
        ({}, InvalidInput, NO_ID),
        (
            {"id": A_UUID},
            InvalidInput,
            "Invalid input received: Provided backup record is missing size attribute",
        ),
        ({"id": A_UUID, "size": None}, Malformed, None),
        ({"id": A_UUID, "size": "1"}, Malformed, None),
        ({"id": A_UUID, "size": -1}, Malformed, None),
        ({"id": A_UUID, "size": 1.5}, Malformed, None),
        ({"id": A_UUID, "size": True}, Malformed, None),
        ({"id": "no uuid", "size": 1}, InvalidInput, None),
        ({"id": A_UUID.upper(), "size": 1}, InvalidInput, None),
        ({"id": None, "size": 1}, InvalidInput, None),
        ({"id": 7, "size": 1}, InvalidInput, None),
    ],
)
def test_what_is_no_record_is_refused(
    content: object, error: type[Exception], words: str | None
) -> None:
    with pytest.raises(error) as caught:
        records.decode(a_record(content))
    if words is not None:
        assert str(caught.value) == words


def test_a_size_that_no_row_can_hold_is_refused_without_a_quota_too(stage: Stage) -> None:
    stage.set_limits(quota_backup_gigabytes=-1)
    with pytest.raises(QuotaExceeded, match="QuotaUsageOverflow"):
        stage.an_import({"id": A_UUID, "size": 2**31})


def test_a_url_that_is_no_base64_is_refused() -> None:
    with pytest.raises(binascii.Error):
        base64.b64decode("a")
    with pytest.raises(InvalidInput, match="Can't parse backup record"):
        records.decode(Record(SERVICE, "a"))


@pytest.mark.parametrize("service", ["", "cinder", SERVICE])
def test_the_services_name_may_be_cut(stage: Stage, backup: Backup, service: str) -> None:
    content = {**exported(stage, backup), "id": str(uuid.uuid4())}
    assert stage.an_import(content, service=service).status == "available"


@pytest.mark.parametrize(
    ("change", "service", "reason"),
    [
        (
            {},
            "cinder.backup.drivers.posix",
            "Import record failed, cannot find backup service to perform the import. "
            "Request service cinder.backup.drivers.posix.",
        ),
        (
            {"container": ..., "display_name": ...},
            SERVICE,
            "Driver successfully decoded imported backup data, but there are missing fields "
            "(display_name, container).",
        ),
        ({"service_metadata": "elsewhere"}, SERVICE, "names no place of this service"),
        ({"service_metadata": None}, SERVICE, "names no place of this service"),
        ({"created_at": "yesterday"}, SERVICE, "can't be imported"),
        ({"display_name": "n" * 256}, SERVICE, "can't be imported"),
        ({"display_name": "\ud800"}, SERVICE, "can't be imported"),
        ({"metadata": {"k": "\ud800"}}, SERVICE, "can't be imported"),
        ({"metadata": {"k": 1}}, SERVICE, "can't be imported"),
        ({"object_count": -1}, SERVICE, "can't be imported"),
        ({}, "\ud800", "Request service ?"),
    ],
)
def test_what_a_worker_can_not_import_says_why(
    stage: Stage, backup: Backup, change: dict[str, Any], service: str, reason: str
) -> None:
    content = {**exported(stage, backup), "id": str(uuid.uuid4()), **change}
    content = {key: value for key, value in content.items() if value is not ...}
    imported = stage.an_import(content, service=service)
    assert imported.status == "error"
    assert reason in (imported.fail_reason or "")
    assert imported.volume_id == "00000000-0000-0000-0000-000000000000"
    stage.backups.delete(a_caller(is_admin=True), imported.id)
    assert stage.row(imported.id).deleted  # type: ignore[union-attr]


@pytest.mark.parametrize("part", [2, 3, 4, 5], ids=["repository", "domain", "root", "sha256"])
def test_a_place_where_nothing_is_can_not_be_imported(
    stage: Stage, backup: Backup, part: int
) -> None:
    place = (backup.service_metadata or "").split(":")
    place[part] = place[part][::-1]
    content = {
        **exported(stage, backup),
        "id": str(uuid.uuid4()),
        "service_metadata": ":".join(place),
    }
    imported = stage.an_import(content)
    assert imported.status == "error"
    assert imported.fail_reason
    assert imported.root is None


def test_a_row_deleted_while_it_is_imported_leaves_nothing(
    stage: Stage, backup: Backup, tmp_path: Path
) -> None:
    content = exported(stage, backup)
    (tmp_path / "other").mkdir()
    other = Stage(tmp_path / "other", stores=stage.stores)
    admin = a_caller(is_admin=True)
    imported = other.backups.import_record(admin, a_record(content))
    assert imported.status == "creating"
    other.backups.force_delete(admin, imported.id)
    other.work()
    assert other.row(imported.id).deleted  # type: ignore[union-attr]
    assert other.session(backup.root) is None
    other.close()
