"""Volumes: POST /volumes, GET /volumes/{id}, and the short list."""

import pytest

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
PROJECT = "8dca4f5a1c2d4e3f9a0b1c2d3e4f5a6b"
MEMBER = {"roles": "member,reader"}
AT_3_0 = [
    "id", "status", "size", "availability_zone", "created_at", "updated_at", "name", "description",
    "volume_type", "snapshot_id", "source_volid", "metadata", "links", "user_id", "bootable",
    "encrypted", "replication_status", "consistencygroup_id", "multiattach", "attachments",
]  # fmt: skip
FOR_ADMINS = [
    "migration_status", "group_id", "provider_id", "shared_targets", "service_uuid",
    "cluster_name", "volume_type_id", "consumes_quota",
]  # fmt: skip
TENANT = "os-vol-tenant-attr:tenant_id"
EXTENDED = [
    TENANT,
    "os-vol-mig-status-attr:migstat",
    "os-vol-mig-status-attr:name_id",
    "os-vol-host-attr:host",
]


def fault(answer):
    ((_, inside),) = answer.json.items()
    return answer.status_code, inside["message"]


def create(api, version="3.71", **wanted):
    return api.post("/v3/volumes", {"volume": wanted}, version=version)


def test_a_new_volume_is_creating(api):
    answer = create(api, size=2, name=" data ", metadata={"k": "v"}, availability_zone="az2")
    assert answer.status_code == 202
    volume = answer.json["volume"]
    expected = {
        "status": "creating",
        "size": 2,
        "name": "data",
        "description": None,
        "metadata": {"k": "v"},
        "availability_zone": "az2",
        "volume_type": "__DEFAULT__",
        "bootable": "false",
        "encrypted": False,
        "multiattach": False,
        "attachments": [],
        "user_id": "ada",
    }
    assert {key: volume[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("3.0", 1),
        ("3.13", 2),
        ("3.21", 3),
        ("3.48", 5),
        ("3.61", 6),
        ("3.63", 7),
        ("3.64", 7),
        ("3.65", 8),
        ("3.71", 8),
    ],
)
def test_later_microversions_add_keys(api, rows, version, number):
    added = FOR_ADMINS[:number]
    assert list(create(api, version, size=1).json["volume"]) == AT_3_0 + added
    shown = api.get(f"/v3/volumes/{rows.volume()}", version=version).json["volume"]
    assert list(shown) == AT_3_0 + added + EXTENDED


def test_a_member_is_shown_less(api, rows):
    volume_id = rows.volume(image_metadata={"os": "x"})
    shown = api.get(f"/v3/volumes/{volume_id}", version="3.65", **MEMBER).json["volume"]
    added = ["group_id", "shared_targets", "service_uuid", "volume_type_id", "consumes_quota"]
    assert list(shown) == [*AT_3_0, *added, TENANT, "volume_image_metadata"]


@pytest.mark.parametrize("version", ["3.48", "3.68", "3.69"])
def test_a_volume_tells_its_service_once_it_is_made(api, rows, version):
    new = create(api, version, size=1).json["volume"]
    assert (new["shared_targets"], new["service_uuid"]) == (True, None)
    first, second, elsewhere = (
        api.get(f"/v3/volumes/{volume_id}", version=version).json["volume"]
        for volume_id in (rows.volume(), rows.volume(), rows.volume(backend="keeper@az2#files"))
    )
    assert first["shared_targets"] is False
    assert first["service_uuid"] == second["service_uuid"] != elsewhere["service_uuid"]


def test_the_host_is_a_hosts_backend_and_pool(api, rows):
    shown = api.get(f"/v3/volumes/{rows.volume()}").json["volume"]
    assert shown["os-vol-host-attr:host"] == "keeper@az1#files"
    assert shown[TENANT] == PROJECT


@pytest.mark.parametrize(
    "nulls",
    [
        {},
        {
            "description": None,
            "metadata": None,
            "snapshot_id": None,
            "source_volid": None,
            "backup_id": None,
            "volume_type": None,
            "availability_zone": None,
            "imageRef": None,
            "consistencygroup_id": None,
            "group_id": None,
            "multiattach": False,
        },
        {"volume_type": "__DEFAULT__"},
        {"display_description": "the older name"},
    ],
)
def test_what_clients_send_with_every_create(api, nulls):
    assert create(api, size="1", name=None, **nulls).status_code == 202


def test_an_unknown_key_is_ignored_below_3_53(api):
    assert create(api, "3.52", size=1, mistyped="x").status_code == 202
    code, words = fault(create(api, "3.53", size=1, mistyped="x"))
    assert code == 400
    assert "Additional properties are not allowed ('mistyped' was unexpected)" in words


@pytest.mark.parametrize(
    "hints", [None, {}, {"any": "thing"}, {"same_host": [AN_ID]}, {"different_host": AN_ID}]
)
def test_hints_for_a_scheduler_are_accepted(api, hints):
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
    assert api.post("/v3/volumes", body).status_code == 202
    assert api.post("/v3/volumes", body | {"other": 1}).status_code == 400


@pytest.mark.parametrize("hints", [1, [], {"same_host": "x"}, {"query": 1}])
def test_hints_that_no_scheduler_understands(api, hints):
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
    assert api.post("/v3/volumes", body).status_code == 400


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        ({"size": "0"}, 400,
         "Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1"),
        ({"size": 0}, 400,
         "Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1"),
        ({}, 400, "The server could not comply with the request since it is either malformed or "
         "otherwise incorrect."),
        ({"size": 1, "name": f" {'x' * 256} "}, 400,
         "Invalid input received: name has 256 characters, more than 255."),
        ({"size": 1, "volume_type": "fast"}, 404,
         "Volume type with name fast could not be found."),
        ({"size": 1, "volume_type": AN_ID}, 404, f"Volume type {AN_ID} could not be found."),
        ({"snapshot_id": AN_ID}, 404, f"Snapshot {AN_ID} could not be found."),
        ({"source_volid": AN_ID}, 404, f"Volume {AN_ID} could not be found."),
        ({"size": 1, "consistencygroup_id": AN_ID}, 404, f"Group {AN_ID} could not be found."),
        ({"size": 1, "group_id": "g"}, 404, "Group g could not be found."),
        ({"size": 1, "imageRef": "x"}, 400,
         "Invalid image identifier or unable to access requested image."),
        ({"size": 1, "image_id": "x"}, 400,
         "Invalid image identifier or unable to access requested image."),
        ({"backup_id": AN_ID}, 404, f"Backup {AN_ID} could not be found."),
        ({"size": 1, "multiattach": None}, 400,
         "Value 'None' for 'multiattach' is not a boolean."),
        ({"size": 1, "availability_zone": "nowhere"}, 400,
         "Availability zone 'nowhere' is invalid."),
        ({"size": 1001}, 413,
         "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes "
         "quota. Requested 1001G, quota is 1000G and 0G has been consumed."),
        ({"size": "x"}, 400,
         "Invalid input for field/attribute size. Value: x. 'x' does not match '^[0-9]+$'"),
        ({"size": "2147483648"}, 400, "Invalid input for field/attribute size. Value: 2147483648. "
         "2147483648 is greater than the maximum of 2147483647"),
        ({"size": 1, "description": "x" * 256}, 400,
         "Invalid input received: description has 256 characters, more than 255."),
        ({"size": 1, "availability_zone": ""}, 400,
         "Invalid input for field/attribute availability_zone. Value: . '' should be non-empty"),
        ({"size": 1, "multiattach": "maybe"}, 400, "Invalid input for field/attribute multiattach. "
         "Value: maybe. 'maybe' is not valid under any of the given schemas"),
        ({"size": 1, "snapshot_id": "x"}, 400, "Invalid input for field/attribute snapshot_id. "
         "Value: x. 'x' is not valid under any of the given schemas"),
        ({"size": 1, "metadata": {"k": None}}, 400,
         "Invalid input for field/attribute k. Value: None. None is not of type 'string'"),
        # of two problems the first in Cinder's order is told
        ({"volume_type": "fast", "snapshot_id": AN_ID}, 404,
         "Volume type with name fast could not be found."),
        ({"source_volid": AN_ID, "imageRef": "x"}, 404, f"Volume {AN_ID} could not be found."),
    ],
)  # fmt: skip
def test_a_volume_that_cannot_be_made(api, wanted, code, words):
    assert fault(create(api, **wanted)) == (code, words)


def test_multiattach_cannot_be_asked_for(api):
    code, words = fault(create(api, size=1, multiattach=True))
    assert code == 400
    assert words.startswith("multiattach parameter has been removed.")


def test_a_volume_has_one_source(api, rows):
    volume_id = rows.volume()
    sources = {
        "source_volid": volume_id,
        "snapshot_id": rows.snapshot(volume_id),
        "backup_id": rows.backup(volume_id=volume_id),
    }
    words = (
        "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
    )
    for left_out in sources:
        pair = {key: value for key, value in sources.items() if key != left_out}
        assert fault(create(api, size=1, **pair)) == (400, words)


def test_a_volume_from_another_has_its_size_at_least(api, rows):
    volume_id = rows.volume(size=3)
    assert create(api, source_volid=volume_id).json["volume"]["size"] == 3
    assert create(api, source_volid=volume_id, size=2).status_code == 400
    snapshot_id = rows.snapshot(volume_id, size=3)
    assert create(api, snapshot_id=snapshot_id, size=4).json["volume"]["size"] == 4


@pytest.mark.parametrize("version", ["3.0", "3.47", "3.71"])
def test_a_volume_from_a_backup(api, rows, version):
    rows.service()
    backup_id = rows.backup(size=2)
    volume = create(api, version, backup_id=backup_id, name="again").json["volume"]
    assert (volume["status"], volume["size"], volume["name"]) == ("creating", 2, "again")
    assert "backup_id" not in volume
    assert api.get(f"/v3/backups/{backup_id}").json["backup"]["status"] == "restoring"


@pytest.mark.parametrize(
    ("status", "size", "words"),
    [
        ("error", 2, "Invalid backup: Originating backup status must be one of 'available' values"),
        (
            "available",
            1,
            "Invalid input received: Volume size 1GB cannot be smaller than the backup size 2GB. "
            "It must be >= backup size.",
        ),
    ],
)
def test_a_volume_that_cannot_be_made_from_a_backup(api, rows, status, size, words):
    backup_id = rows.backup(size=2, status=status)
    assert fault(create(api, backup_id=backup_id, size=size)) == (400, words)


def test_a_reader_makes_no_volume(api):
    answer = api.post("/v3/volumes", {"volume": {"size": 1}}, roles="reader")
    assert fault(answer) == (403, "Policy doesn't allow volume:create to be performed.")


@pytest.mark.parametrize(("version", "code"), [("3.12", 404), ("3.13", 400)])
def test_a_groups_id_is_a_string_from_3_13_on(api, version, code):
    assert create(api, version, size=1, group_id=1).status_code == code


@pytest.mark.parametrize(
    ("version", "backup_id", "code"),
    [("3.46", "x", 404), ("3.47", "x", 400), ("3.46", "", 202), ("3.47", AN_ID, 404)],
)
def test_a_backups_id_is_a_uuid_from_3_47_on(api, version, backup_id, code):
    assert create(api, version, size=1, backup_id=backup_id).status_code == code


def test_without_a_role_a_source_is_told_apart(api, rows):
    volume_id = rows.volume()
    snapshot_id = rows.snapshot(volume_id)
    body = {"volume": {"snapshot_id": snapshot_id}}
    assert fault(api.post("/v3/volumes", body, roles="someone")) == (
        403, "Policy doesn't allow volume:get_snapshot to be performed."
    )  # fmt: skip
    body = {"volume": {"source_volid": volume_id}}
    assert fault(api.post("/v3/volumes", body, roles="someone")) == (
        404, f"Volume {volume_id} could not be found."
    )  # fmt: skip


def test_the_quota_of_volumes(api, rows):
    for _ in range(10):
        rows.volume()
    assert fault(create(api, size=1)) == (
        413,
        "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'.",
    )


@pytest.mark.parametrize("source", ["source_volid", "snapshot_id"])
def test_a_copy_is_where_its_source_is(api, rows, source):
    volume_id = rows.volume(availability_zone="az2")
    of = {source: volume_id if source == "source_volid" else rows.snapshot(volume_id)}
    assert create(api, **of).json["volume"]["availability_zone"] == "az2"
    what = "source volume" if source == "source_volid" else "snapshot"
    assert fault(create(api, **of, availability_zone="az1")) == (
        400, f"Invalid input received: Volume must be in the same availability zone as the {what}"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ("source_volid", "error", "Invalid volume: Originating source volume status must be one of "
         "'available, in-use' values"),
        ("snapshot_id", "creating", "Invalid snapshot: Originating snapshot status must be one of "
         "'available' values"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_ready(api, rows, source, status, words):
    if source == "source_volid":
        of = rows.volume(status=status)
    else:
        of = rows.snapshot(rows.volume(), status=status)
    assert fault(create(api, **{source: of})) == (400, words)


# GET


def test_an_unknown_volume_is_not_found(api):
    assert fault(api.get("/v3/volumes/by-name")) == (404, "Volume by-name could not be found.")


def test_without_a_role_the_own_volume_is_not_found_either(api, rows):
    volume_id = rows.volume()
    answer = api.get(f"/v3/volumes/{volume_id}", roles="someone")
    assert fault(answer) == (404, f"Volume {volume_id} could not be found.")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "ba"),
        ("?name=a", "a"),
        ("?sort=name:asc", "ab"),
        ("?limit=1", "b"),
        ("?all_tenants=1", "ba"),
        ("?all_tenants=True&name=x", ""),
    ],
)
def test_a_member_lists_the_own_volumes(api, rows, query, names):
    for name, project_id in (("a", PROJECT), ("b", PROJECT), ("x", "another")):
        rows.volume(name=name, project_id=project_id)
    for path in ("/v3/volumes", "/v3/volumes/detail"):
        answer = api.get(path + query, **MEMBER)
        assert "".join(volume["name"] for volume in answer.json["volumes"]) == names
        assert ("volumes_links" in answer.json) == ("limit" in query)


def test_the_short_list_has_names_and_links(api, rows):
    volume_id = rows.volume(name="a")
    assert api.get(f"/v3/{PROJECT}/volumes?with_count=1").json == {
        "volumes": [
            {
                "id": volume_id,
                "name": "a",
                "links": [
                    {
                        "rel": "self",
                        "href": f"http://localhost:8776/v3/{PROJECT}/volumes/{volume_id}",
                    },
                    {
                        "rel": "bookmark",
                        "href": f"http://localhost:8776/{PROJECT}/volumes/{volume_id}",
                    },
                ],
            }
        ],
        "count": 1,
    }


def test_what_a_list_of_volumes_must_not_ask(api):
    assert fault(api.get("/v3/volumes?marker=x")) == (404, "Volume x could not be found.")
    assert fault(api.get("/v3/volumes?sort=x")) == (
        400, "Invalid input received: Invalid sort key"
    )  # fmt: skip
