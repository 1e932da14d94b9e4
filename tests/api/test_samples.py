"""The examples in samples/ are what is sent and answered, and what the documentation shows."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import FIRST_MOMENT, PROJECT, Api, Rows
from tests.api.templates import differences, filled

SAMPLES = Path(__file__).parent / "samples"
DOCUMENT = Path(__file__).parents[2] / "docs" / "api" / "backups.md"
NAMES = {
    "backups-list-response.json",
    "backups-list-detailed-response.json",
    "backup-show-response.json",
    "backup-create-request.json",
    "backup-create-response.json",
    "backup-update-request.json",
    "backup-update-response.json",
    "backup-restore-request.json",
    "backup-restore-response.json",
    "backup-record-export-response.json",
    "backup-record-import-request.json",
    "backup-record-import-response.json",
}
BACKUP = "2ef47aee-8844-490c-804d-2a8efe561c65"
IMPORTED = "7b0f2a0e-3a4c-4f5b-9d0a-6f1f3c1a2b4d"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def in_order(document: Any) -> Any:
    """The document's keys as they follow each other."""
    match document:
        case dict():
            return [(key, in_order(value)) for key, value in document.items()]
        case list():
            return [in_order(item) for item in document]
    return None


@pytest.fixture
def values(rows: Rows) -> dict[str, str]:
    """Two backups of a volume, and what the placeholders mean."""
    rows.service(availability_zone="az2", host="keeper@az2")
    rows.service()
    volume_id = rows.volume(name="database")
    rows.backup(volume_id=volume_id)
    rows.backup(
        id=BACKUP,
        volume_id=volume_id,
        display_name="nightly",
        display_description="before the upgrade",
        availability_zone="az2",
        object_count=4,
        metadata={"stage": "gold"},
        updated_at=FIRST_MOMENT,
    )
    return {
        "host": "http://localhost:8776",
        "project_id": PROJECT,
        "user_id": "ada",
        "backup_id": BACKUP,
        "volume_id": volume_id,
    }


def check(name: str, answer: Any, values: dict[str, str]) -> None:
    template = sample(name)
    assert not list(differences(template, answer.json, values=values))
    assert in_order(answer.json) == in_order(template)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("backups-list-response.json", "backups?limit=1&with_count=true"),
        ("backups-list-detailed-response.json", "backups/detail?limit=1&with_count=true"),
        ("backup-show-response.json", f"backups/{BACKUP}"),
    ],
)
def test_what_is_read(api: Api, values: dict[str, str], name: str, path: str) -> None:
    check(name, api.get(f"/v3/{PROJECT}/{path}"), values)


@pytest.mark.parametrize(
    ("topic", "method", "path", "status"),
    [
        ("backup-create", "POST", "backups", 202),
        ("backup-update", "PUT", f"backups/{BACKUP}", 200),
        ("backup-restore", "POST", f"backups/{BACKUP}/restore", 202),
    ],
)
def test_what_is_sent_and_answered(
    api: Api, values: dict[str, str], topic: str, method: str, path: str, status: int
) -> None:
    body = filled(sample(f"{topic}-request.json"), values)
    answer = api.request(method, f"/v3/{PROJECT}/{path}", body)
    assert answer.status_code == status, answer.text
    check(f"{topic}-response.json", answer, values)


def test_a_record_is_exported_and_imported(api: Api, values: dict[str, str]) -> None:
    exported = api.get(f"/v3/{PROJECT}/backups/{BACKUP}/export_record")
    url = exported.json["backup-record"]["backup_url"]
    check("backup-record-export-response.json", exported, values | {"backup_url": url})
    content = json.loads(base64.b64decode(url)) | {"id": IMPORTED}
    values |= {
        "backup_id": IMPORTED,
        "backup_url": base64.b64encode(json.dumps(content).encode()).decode(),
    }
    body = filled(sample("backup-record-import-request.json"), values)
    answer = api.post(f"/v3/{PROJECT}/backups/import_record", body)
    assert answer.status_code == 201
    check("backup-record-import-response.json", answer, values)


def test_the_samples_are_those_that_cinder_names() -> None:
    assert {file.name for file in SAMPLES.iterdir()} == NAMES


def test_the_documentation_shows_each_sample_as_it_is() -> None:
    blocks = re.findall(r"`samples/(\S+)`:\n\n```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert sorted(name for name, _ in blocks) == sorted(NAMES)
    for name, text in blocks:
        assert text == (SAMPLES / name).read_text(), name
