"""Quota sets: what a project may have of volumes, snapshots and backups, and what it has.

A project's limit is its own, else that of the class `default`, else the configuration's.

Invariant
* what is in use is counted when somebody asks, so nothing leaks; nothing is ever `reserved`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from emberkeep.backups.errors import InvalidInput, LimitBelowUsage
from emberkeep.backups.means import Settings
from emberkeep.caller import Caller
from emberkeep.db import backups as backups_table
from emberkeep.db import quotas as table
from emberkeep.db import volumes as volumes_table
from emberkeep.db.database import Database, Transaction
from emberkeep.volumes import quota as volume_quota
from emberkeep.volumes.quota import PER_VOLUME, VolumeQuotas
from emberkeep.volumes.types import TYPES

# All that can be limited, in the order in which Cinder shows it.
RESOURCES = (
    "volumes",
    PER_VOLUME,
    "snapshots",
    "gigabytes",
    "backups",
    "backup_gigabytes",
    *(
        volume_quota.of_type(name, volume_type.name)
        for volume_type in TYPES
        for name in ("volumes", "gigabytes", "snapshots")
    ),
    "groups",
)
LONGEST_NAME = 255

SHOW = "volume_extension:quotas:show"
UPDATE = "volume_extension:quotas:update"
DELETE = "volume_extension:quotas:delete"
SHOW_CLASS = "volume_extension:quota_classes:get"
UPDATE_CLASS = "volume_extension:quota_classes:update"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one resource: what a project may have (-1: without limit) and what it has."""

    limit: int
    in_use: int


class QuotaSets:
    """The limits of all projects.  May be used from many threads."""

    def __init__(self, database: Database, volumes: VolumeQuotas, backups: Settings) -> None:
        """`volumes` and `backups` hold the configuration's limits."""
        self._database = database
        self._volumes = volumes
        self._configured = {
            **dict.fromkeys(RESOURCES, -1),
            **volumes.limits,
            "backups": backups.quota_backups,
            "backup_gigabytes": backups.quota_backup_gigabytes,
        }

    def show(self, caller: Caller, project_id: str) -> dict[str, Standing]:
        """By resource.  Raises what `authorize` raises."""
        caller.authorize(SHOW, project_id)
        return self.standing(project_id)

    def standing(self, project_id: str) -> dict[str, Standing]:
        """The same, whoever asks."""
        with self._database.reading() as tx:
            return self._standing(tx, project_id)

    def defaults(self, caller: Caller, project_id: str) -> dict[str, int]:
        """What the project may have without limits of its own."""
        caller.authorize(SHOW, project_id)
        return self._class(table.DEFAULT_CLASS)

    def update(self, caller: Caller, project_id: str, limits: Mapping[str, int]) -> dict[str, int]:
        """Give the project limits of its own: all of them, or none.  Returns all that it has.

        Raises what `authorize` raises, `InvalidInput` and `LimitBelowUsage`.
        """
        caller.authorize(UPDATE, project_id)
        _check_name("quota_set_name", project_id)
        with self._database.writing() as tx:
            volumes_table.lock_project(tx, project_id)
            standing = self._standing(tx, project_id)
            for name, limit in limits.items():
                if 0 <= limit < standing[name].in_use:
                    raise LimitBelowUsage(name, standing[name].in_use, limit)
            table.set_limits(tx, project_id, limits)
            return {name: found.limit for name, found in self._standing(tx, project_id).items()}

    def delete(self, caller: Caller, project_id: str) -> None:
        """Let the project have what its class may."""
        caller.authorize(DELETE, project_id)
        with self._database.writing() as tx:
            table.forget_limits(tx, project_id)

    def show_class(self, caller: Caller, name: str) -> dict[str, int]:
        """What projects of this class may have; there need not be any limits for the class."""
        caller.authorize(SHOW_CLASS, None)
        return self._class(name)

    def update_class(self, caller: Caller, name: str, limits: Mapping[str, int]) -> dict[str, int]:
        """Give the class limits; those of `default` count for every project without its own."""
        caller.authorize(UPDATE_CLASS, None)
        _check_name("quota_class_name", name)
        with self._database.writing() as tx:
            table.set_class_limits(tx, name, limits)
        return self._class(name)

    def _class(self, name: str) -> dict[str, int]:
        with self._database.reading() as tx:
            limits = table.class_limits(tx, name, self._configured)
        return {resource: limits[resource] for resource in RESOURCES}

    def _standing(self, tx: Transaction, project_id: str) -> dict[str, Standing]:
        limits = table.limits(tx, project_id, self._configured)
        backups = backups_table.usage(tx, project_id)
        used = {
            **volume_quota.in_use(tx, self._volumes, project_id),
            "backups": backups.backups,
            "backup_gigabytes": backups.gigabytes,
        }
        return {name: Standing(limits[name], used.get(name, 0)) for name in RESOURCES}


def _check_name(what: str, name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise InvalidInput(f"{what} has {len(name)} characters, more than {LONGEST_NAME}.")
