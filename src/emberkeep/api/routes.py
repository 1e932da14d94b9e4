"""The API: every route stands in this table, and what is not here does not exist.

A path is written without the project, which `/v3/{project_id}/…` may carry and the router strips.
"""

from collections.abc import Callable
from dataclasses import dataclass

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.handlers import (
    availability_zones,
    backups,
    conditions,
    progress,
    services,
    snapshots,
    versions,
    volumes,
    zones,
)
from emberkeep.api.microversions import MIN, Microversion, v3
from emberkeep.api.schemas import backups as backup_bodies
from emberkeep.api.schemas import snapshots as snapshot_bodies
from emberkeep.api.schemas import volumes as volume_bodies
from emberkeep.api.validation import Schema

Handler = Callable[[Core, Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One row.  `rule` is the policy that the handler, or the service behind it, asks for.

    A row with a `schema` takes a body; one with an `action` answers a body of that one key only.
    """

    method: str
    path: str
    handler: Handler
    since: Microversion = MIN
    rule: str | None = None
    schema: Schema | None = None
    action: str | None = None

    @property
    def takes_body(self) -> bool:
        return self.schema is not None

    @property
    def makes_something(self) -> bool:
        """Whether a new thing may come of it, which will be of the caller's project."""
        return self.method == "POST" and self.takes_body and self.action is None


ROUTES = (
    # discovery
    Route("GET", "/", versions.choices),
    Route("POST", "/", versions.refuse),
    Route("GET", "/v3", versions.redirect),
    Route("GET", "/v3/", versions.show),
    Route("POST", "/v3/", versions.refuse),
    # backups
    Route("GET", "/v3/backups", backups.index, rule="backup:get_all"),
    Route("GET", "/v3/backups/detail", backups.detail, rule="backup:get_all"),
    Route("GET", "/v3/backups/{id}", backups.show, rule="backup:get"),
    Route(
        "POST",
        "/v3/backups",
        backups.create,
        rule="backup:create",
        schema=backup_bodies.CREATE,
    ),
    Route(
        "PUT",
        "/v3/backups/{id}",
        backups.update,
        since=v3(9),
        rule="backup:update",
        schema=backup_bodies.UPDATE,
    ),
    Route("DELETE", "/v3/backups/{id}", backups.delete, rule="backup:delete"),
    Route(
        "POST",
        "/v3/backups/{id}/restore",
        backups.restore,
        rule="backup:restore",
        schema=backup_bodies.RESTORE,
    ),
    Route(
        "GET",
        "/v3/backups/{id}/export_record",
        backups.export_record,
        rule="backup:export-import",
    ),
    Route(
        "POST",
        "/v3/backups/import_record",
        backups.import_record,
        rule="backup:backup-import",
        schema=backup_bodies.IMPORT,
    ),
    Route(
        "POST",
        "/v3/backups/{uuid}/import_record",
        backups.import_record,
        rule="backup:backup-import",
        schema=backup_bodies.IMPORT,
    ),
    Route(
        "POST",
        "/v3/backups/{id}/action",
        backups.reset_status,
        rule="volume_extension:backup_admin_actions:reset_status",
        schema=backup_bodies.RESET_STATUS,
        action="os-reset_status",
    ),
    Route(
        "POST",
        "/v3/backups/{id}/action",
        backups.force_delete,
        rule="volume_extension:backup_admin_actions:force_delete",
        schema=backup_bodies.FORCE_DELETE,
        action="os-force_delete",
    ),
    # volumes
    Route("GET", "/v3/volumes", volumes.index, rule="volume:get_all"),
    Route("GET", "/v3/volumes/detail", volumes.detail, rule="volume:get_all"),
    Route("GET", "/v3/volumes/{id}", volumes.show, rule="volume:get"),
    Route(
        "POST",
        "/v3/volumes",
        volumes.create,
        rule="volume:create",
        schema=volume_bodies.CREATE,
    ),
    Route("DELETE", "/v3/volumes/{id}", volumes.delete, rule="volume:delete"),
    # snapshots
    Route("GET", "/v3/snapshots", snapshots.index, rule="volume:get_all_snapshots"),
    Route("GET", "/v3/snapshots/detail", snapshots.detail, rule="volume:get_all_snapshots"),
    Route("GET", "/v3/snapshots/{id}", snapshots.show, rule="volume:get_snapshot"),
    Route(
        "POST",
        "/v3/snapshots",
        snapshots.create,
        rule="volume:create_snapshot",
        schema=snapshot_bodies.CREATE,
    ),
    Route("DELETE", "/v3/snapshots/{id}", snapshots.delete, rule="volume:delete_snapshot"),
    # where things are
    Route("GET", "/v3/os-availability-zone", availability_zones.index),
    Route("GET", "/v3/os-services", services.index, rule="volume_extension:services:index"),
    # beyond Cinder
    Route("GET", "/emberkeep/v1/zones", zones.index),
    Route("GET", "/emberkeep/v1/backups/{id}", conditions.show, rule="backup:get"),
    Route("GET", "/emberkeep/v1/backups/{id}/progress", progress.show, rule="backup:get"),
)

# A resource has these routes even where the table above has no row for them: a client learns from
# a fault, not from a bare page, that it is not implemented.
RESOURCES = ("backups", "volumes", "snapshots", "os-availability-zone", "os-services")
OF_EVERY_RESOURCE = (
    ("GET", ""),
    ("POST", ""),
    ("GET", "/new"),
    ("GET", "/{id}"),
    ("PUT", "/{id}"),
    ("DELETE", "/{id}"),
    ("GET", "/{id}/edit"),
)


def all_routes() -> tuple[Route, ...]:
    """The table, and after it what every resource has."""
    rest = (
        Route(method, f"/v3/{resource}{path}", versions.not_implemented)
        for resource in RESOURCES
        for method, path in OF_EVERY_RESOURCE
    )
    return ROUTES + tuple(rest)
