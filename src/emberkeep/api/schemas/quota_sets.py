"""What the bodies of requests about quotas look like."""

from typing import Any

from emberkeep.api.faults import BadRequest
from emberkeep.api.microversions import MIN
from emberkeep.api.validation import FORMATS, Schema, only
from emberkeep.backups.quota_sets import RESOURCES

LARGEST = 2147483647
NO_QUOTAS = ("tenant_id", "id")  # keys that clients send along, and that mean nothing


@FORMATS.checks("quota_set")
def _is_quota_set(value: object) -> bool:
    if not isinstance(value, dict):
        return True
    for name, limit in value.items():
        if name in RESOURCES:
            _check_integer(name, limit)
    _refuse(value.keys() - {*RESOURCES, *NO_QUOTAS}, value, "quota set")
    return True


@FORMATS.checks("quota_class_set")
def _is_quota_class_set(value: object) -> bool:
    if isinstance(value, dict):
        _refuse(value.keys() - set(RESOURCES), value, "quota class set")
    return True


def _check_integer(name: str, value: object) -> None:
    try:
        limit = int(str(value))
    except ValueError:
        raise BadRequest(f"{name} must be an integer") from None
    if limit < -1:
        raise BadRequest(f"{name} must be >= -1")
    if limit > LARGEST:
        raise BadRequest(f"{name} must be <= {LARGEST}")


def _refuse(bad: set[str], names: dict[str, Any], what: str) -> None:
    if bad:
        told = ", ".join(name for name in names if name in bad)
        raise BadRequest(f"Invalid input received: Bad key(s) in {what}: {told}")


UPDATE = Schema(
    {
        MIN: only(
            {"quota_set": {"type": "object", "minProperties": 1, "format": "quota_set"}},
            required=("quota_set",),
        )
    }
)
UPDATE_CLASS = Schema(
    {
        MIN: only(
            {
                "quota_class_set": {
                    "type": "object",
                    "format": "quota_class_set",
                    "patternProperties": {
                        "^[a-zA-Z0-9-_:. ]{1,300}$": {
                            "type": ["integer", "string"],
                            "pattern": "^[0-9]*$",
                            "minimum": -1,
                            "minLength": 1,
                            "maximum": LARGEST,
                        }
                    },
                    "additionalProperties": False,
                }
            },
            required=("quota_class_set",),
        )
    }
)
