"""Bodies of requests about backups: what is accepted, and the exact words about what is not."""

import pytest

from emberkeep.api.faults import BadRequest
from emberkeep.api.microversions import v3
from emberkeep.api.schemas import backups as schemas
from emberkeep.api.validation import DESCRIPTION

AN_ID = "5e851e08-3d6f-46cf-8343-71edee572b0a"
LONG = "x" * 256
BOOLEANS = (
    "[True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't', "
    "False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']"
)
KEYS = "'^[a-zA-Z0-9-_:. /]{1,255}$'"
NOT_PRINTABLE = f"does not match {DESCRIPTION['pattern']!r}"
ANY_SCHEMA = "is not valid under any of the given schemas"


def complaint(schema, body, version):
    """What the client is told; None if the body is accepted."""
    try:
        schema.check(body, v3(version))
    except BadRequest as refused:
        return str(refused)
    return None


def field(name, value, words):
    return f"Invalid input for field/attribute {name}. Value: {value}. {words}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "None is not of type 'object'"),
        ([], "[] is not of type 'object'"),
        (1, "1 is not of type 'object'"),
        ("x", "'x' is not of type 'object'"),
        ({}, "'backup' is a required property"),
        (
            {"backup": {"volume_id": AN_ID}, "x": 1},
            "Additional properties are not allowed ('x' was unexpected)",
        ),
        (
            {"backup": {"volume_id": AN_ID}, "type": "x"},
            "Additional properties are not allowed ('type' was unexpected)",
        ),
        ({"backup": None}, field("backup", None, "None is not of type 'object'")),
        ({"backup": {}}, field("backup", {}, "'volume_id' is a required property")),
        (
            {"backup": {"volume_id": AN_ID, "a": 1, "b": 2}},
            field(
                "backup",
                {"volume_id": AN_ID, "a": 1, "b": 2},
                "Additional properties are not allowed ('a', 'b' were unexpected)",
            ),
        ),
        (
            {"backup": {"volume_id": 1, "container": 2}},
            field("volume_id", 1, "1 is not of type 'string'"),
        ),
        ({"backup": []}, field("backup", [], "[] is not of type 'object'")),
        (
            {"backup": {"volume_id": AN_ID, "x": 1}, "y": 2},
            field(
                "backup",
                {"volume_id": AN_ID, "x": 1},
                "Additional properties are not allowed ('x' was unexpected)",
            ),
        ),
        ({"backup": {"name": 1}, "x": 1}, field("name", 1, "1 is not of type 'string', 'null'")),
    ],
)
def test_the_first_problem_of_a_create_body_is_told(body, words):
    assert complaint(schemas.CREATE, body, 0) == words


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("volume_id", AN_ID, None),
        ("volume_id", AN_ID.replace("-", ""), None),
        ("volume_id", AN_ID.upper(), None),
        ("volume_id", f"urn:uuid:{AN_ID}", None),
        ("volume_id", f"{{{AN_ID}}}", None),
        ("volume_id", None, "None is not of type 'string'"),
        ("volume_id", "", "'' is not a 'uuid'"),
        ("volume_id", "vol", "'vol' is not a 'uuid'"),
        ("volume_id", f"{AN_ID}0", f"'{AN_ID}0' is not a 'uuid'"),
        ("volume_id", f"uuid:{AN_ID}", None),
        ("volume_id", "-".join(AN_ID.replace("-", "")), None),
        ("volume_id", f" {AN_ID}", f"' {AN_ID}' is not a 'uuid'"),
        ("volume_id", f"{AN_ID}\n", f"'{AN_ID}\\n' is not a 'uuid'"),
        ("snapshot_id", None, None),
        ("snapshot_id", AN_ID, None),
        ("snapshot_id", "", f"'' {ANY_SCHEMA}"),
        ("snapshot_id", 7, f"7 {ANY_SCHEMA}"),
        ("container", None, None),
        ("container", "", None),
        ("container", "../../etc", None),
        ("container", LONG, f"'{LONG}' is too long"),
        ("name", "", None),
        ("name", "a\nb\t🔥", None),
        ("name", "x" * 255, None),
        ("name", LONG, f"'{LONG}' is too long"),
        ("name", " " * 256, f"'{' ' * 256}' is too long"),
        ("description", None, None),
        ("description", "schön\u00a0", None),
        ("description", "one line\n", None),
        ("description", "two\nlines", f"'two\\nlines' {NOT_PRINTABLE}"),
        ("description", "a\tb", f"'a\\tb' {NOT_PRINTABLE}"),
        ("description", "🔥", f"'🔥' {NOT_PRINTABLE}"),
        ("description", "\u2028", f"'\\u2028' {NOT_PRINTABLE}"),
        ("description", "one line\n\n", f"'one line\\n\\n' {NOT_PRINTABLE}"),
        ("description", "\ue000", f"'\\ue000' {NOT_PRINTABLE}"),
        ("description", "\u3000x", None),
        ("description", "\u200b", f"'\\u200b' {NOT_PRINTABLE}"),
        ("force", True, None),
        ("force", "t", None),
        ("incremental", "OFF", None),
        ("incremental", "Y", f"'Y' is not one of {BOOLEANS}"),
        ("incremental", "T", f"'T' is not one of {BOOLEANS}"),
        ("incremental", "", f"'' is not one of {BOOLEANS}"),
        ("force", None, "None is not of type 'boolean', 'string'"),
        ("force", 1, "1 is not of type 'boolean', 'string'"),
        ("metadata", None, None),
        ("metadata", {}, None),
        ("metadata", {"a key:1/x": "any\nvalue 🔥"}, None),
        ("metadata", {"ends in a newline\n": ""}, None),
        ("metadata", "x", "'x' is not of type 'object', 'null'"),
        ("metadata", {"": "x"}, f"'' does not match any of the regexes: {KEYS}"),
        ("metadata", {"ä": "x"}, f"'ä' does not match any of the regexes: {KEYS}"),
        ("metadata", {LONG: "x"}, f"'{LONG}' does not match any of the regexes: {KEYS}"),
        ("availability_zone", None, None),
        ("availability_zone", "", None),
        ("availability_zone", "nowhere", None),
        ("availability_zone", LONG, f"'{LONG}' is too long"),
    ],
)
def test_each_key_of_a_create_body(key, value, words):
    body = {"backup": {"volume_id": AN_ID, key: value}}
    assert complaint(schemas.CREATE, body, 71) == (words and field(key, value, words))


def test_a_value_of_metadata_is_a_string_of_255_characters():
    def told(value):
        body = {"backup": {"volume_id": AN_ID, "metadata": {"k": value}}}
        return complaint(schemas.CREATE, body, 71)

    assert told("x" * 255) is None
    assert told(LONG) == field("k", LONG, f"'{LONG}' is too long")
    assert told(None) == field("k", None, "None is not of type 'string'")


@pytest.mark.parametrize(
    ("schema", "key", "value", "since"),
    [
        (schemas.CREATE, "metadata", {}, 43),
        (schemas.CREATE, "availability_zone", "az", 51),
        (schemas.UPDATE, "metadata", {}, 43),
    ],
)
def test_a_key_is_refused_below_its_microversion(schema, key, value, since):
    known = {"volume_id": AN_ID} if schema is schemas.CREATE else {}
    inside = known | {key: value}
    assert complaint(schema, {"backup": inside}, since) is None
    assert complaint(schema, {"backup": inside}, since - 1) == field(
        "backup", inside, f"Additional properties are not allowed ('{key}' was unexpected)"
    )


@pytest.mark.parametrize(
    ("schema", "body", "words"),
    [
        (schemas.UPDATE, {"backup": {}}, None),
        (schemas.UPDATE, {"backup": {"name": None, "description": None}}, None),
        (schemas.UPDATE, {"backup": None}, field("backup", None, "None is not of type 'object'")),
        (
            schemas.UPDATE,
            {"backup": []},
            field("backup", [], "[] is not of type 'object', 'null'"),
        ),
        (schemas.UPDATE, {"name": "x"}, "'backup' is a required property"),
        (
            schemas.UPDATE,
            {"backup": {"metadata": None}},
            field("metadata", None, "None is not of type 'object'"),
        ),
        (schemas.RESTORE, {"restore": {}}, None),
        (schemas.RESTORE, {"restore": {"volume_id": None, "name": None}}, None),
        (
            schemas.RESTORE,
            {"restore": None},
            field("restore", None, "None is not of type 'object'"),
        ),
        (
            schemas.RESTORE,
            {"restore": {"volume_id": ""}},
            field("volume_id", "", f"'' {ANY_SCHEMA}"),
        ),
        (schemas.RESET_STATUS, {"os-reset_status": {"status": "ERROR"}}, None),
        (
            schemas.RESET_STATUS,
            {"os-reset_status": {"status": "deleting"}},
            "Backup status: deleting is invalid, valid statuses are: ['available', 'error'].",
        ),
        (
            schemas.RESET_STATUS,
            {"os-reset_status": {"status": None}},
            field("status", None, "None is not of type 'string'"),
        ),
        (
            schemas.RESET_STATUS,
            {"os-reset_status": {}},
            field("os-reset_status", {}, "'status' is a required property"),
        ),
        (schemas.FORCE_DELETE, {"os-force_delete": None}, None),
        (schemas.FORCE_DELETE, {"os-force_delete": {"any": ["thing"]}}, None),
    ],
)
def test_the_bodies_of_the_other_requests(schema, body, words):
    assert complaint(schema, body, 71) == words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("e30=", None),
        ("e3\n0=", None),
        ("e!3-0=", None),
        ("", "'' should be non-empty"),
        ("e30", "'e30' is not a 'base64'"),
        (1, "1 is not of type 'string'"),
    ],
)
def test_a_records_url_is_padded_base64(url, words):
    body = {"backup-record": {"backup_service": "", "backup_url": url}}
    assert complaint(schemas.IMPORT, body, 0) == (words and field("backup_url", url, words))


def test_a_description_is_told_what_it_may_hold():
    pattern = DESCRIPTION["pattern"]
    assert pattern.startswith("^[\\ -\\~\xa0-¬®-ͷ")
    assert pattern.endswith("￼-�]*$")


def test_a_deeply_nested_value_is_a_complaint_not_a_crash():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert complaint(schemas.CREATE, {"backup": {"volume_id": AN_ID, "name": deep}}, 0)
