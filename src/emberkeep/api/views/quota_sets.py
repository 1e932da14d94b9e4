"""Quota sets as JSON: a limit for each resource, or a limit and what is in use."""

from collections.abc import Mapping
from typing import Any

from emberkeep.backups.quota_sets import Standing


def limits(standing: Mapping[str, Standing]) -> dict[str, Any]:
    return {name: found.limit for name, found in standing.items()}


def usage(standing: Mapping[str, Standing]) -> dict[str, Any]:
    return {
        name: {"limit": found.limit, "in_use": found.in_use, "reserved": 0}
        for name, found in standing.items()
    }
