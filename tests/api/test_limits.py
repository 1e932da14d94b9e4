"""Limits: GET /limits."""

import pytest

OTHER = "b" * 32
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
MEMBER = {"roles": "member,reader"}


@pytest.fixture
def used(api, rows):
    """The caller's project has something, and the other one has more, and other limits."""
    rows.snapshot(rows.volume(size=2), size=2)
    rows.backup(size=4)
    for _ in range(3):
        rows.volume(size=1, project_id=OTHER)
    api.put(f"/v3/os-quota-sets/{OTHER}", {"quota_set": {"volumes": 33}})


def absolute(api, path="/v3/limits", **how):
    answer = api.get(path, **how)
    assert answer.status_code == 200
    assert answer.json["limits"]["rate"] == []
    return answer.json["limits"]["absolute"]


def test_limits_say_what_one_may_have_and_has(api, used):
    assert list(absolute(api, roles="reader").items()) == [
        ("maxTotalVolumes", 10),
        ("maxTotalSnapshots", 10),
        ("maxTotalVolumeGigabytes", 1000),
        ("maxTotalBackups", 10),
        ("maxTotalBackupGigabytes", 1000),
        ("totalVolumesUsed", 1),
        ("totalGigabytesUsed", 4),
        ("totalSnapshotsUsed", 1),
        ("totalBackupsUsed", 1),
        ("totalBackupGigabytesUsed", 4),
    ]


def test_who_has_no_role_sees_no_use(api, used):
    assert [key for key in absolute(api, roles="someone") if not key.startswith("max")] == []


@pytest.mark.parametrize("key", ["project_id", "tenant_id"])
@pytest.mark.parametrize(
    ("version", "who", "volumes"),
    [("3.39", {}, (33, 3)), ("3.38", {}, (10, 1)), ("3.71", MEMBER, (10, 1))],
)
def test_an_admin_sees_any_projects_limits_from_3_39_on(api, used, key, version, who, volumes):
    found = absolute(api, f"/v3/limits?{key}={OTHER}", version=version, **who)
    assert (found["maxTotalVolumes"], found["totalVolumesUsed"]) == volumes


def test_the_first_of_both_names_counts(api, used):
    query = f"tenant_id={PROJECT}&project_id={OTHER}"
    assert absolute(api, f"/v3/limits?{query}")["totalVolumesUsed"] == 3


def test_unlimited_is_minus_one(api):
    api.put(f"/v3/os-quota-sets/{PROJECT}", {"quota_set": {"backups": -1}})
    assert absolute(api)["maxTotalBackups"] == -1


def test_limits_have_no_members(api):
    answer = api.get("/v3/limits/x")
    assert answer.json["itemNotFound"]["message"] == "The resource could not be found."
