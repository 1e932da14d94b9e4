"""The API: every route stands in this table, and what is not here does not exist.

A path is written without the project, which `/v3/{project_id}/…` may carry and the router strips.
"""

from collections.abc import Callable
from dataclasses import dataclass

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.handlers import (
    attachments,
    availability_zones,
    backends,
    backups,
    conditions,
    extensions,
    limits,
    messages,
    progress,
    quota_class_sets,
    quota_sets,
    resource_filters,
    services,
    snapshot_actions,
    snapshot_metadata,
    snapshots,
    types,
    versions,
    volume_actions,
    volume_image_metadata,
    volume_metadata,
    volumes,
    zones,
)
from emberkeep.api.microversions import MIN, Microversion, v3
from emberkeep.api.schemas import attachments as attachment_bodies
from emberkeep.api.schemas import backups as backup_bodies
from emberkeep.api.schemas import quota_sets as quota_bodies
from emberkeep.api.schemas import services as service_bodies
from emberkeep.api.schemas import snapshot_actions as snapshot_action_bodies
from emberkeep.api.schemas import snapshot_metadata as snapshot_metadata_bodies
from emberkeep.api.schemas import snapshots as snapshot_bodies
from emberkeep.api.schemas import volume_actions as action_bodies
from emberkeep.api.schemas import volume_image_metadata as image_metadata_bodies
from emberkeep.api.schemas import volume_metadata as volume_metadata_bodies
from emberkeep.api.schemas import volumes as volume_bodies
from emberkeep.api.validation import Schema

Handler = Callable[[Core, Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One row.  `rule` is the policy that the handler, or the service behind it, asks for.

    A row with a `schema` takes a body; one with an `action` answers a body of that one key only.
    One that does not negotiate answers whatever version is asked for, and shows none.
    """

    method: str
    path: str
    handler: Handler
    since: Microversion = MIN
    rule: str | None = None
    schema: Schema | None = None
    action: str | None = None
    negotiates: bool = True

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
    Route("GET", "/v3", versions.redirect, negotiates=False),
    Route("GET", "/v3/", versions.show),
    Route("POST", "/v3/", versions.refuse),
    # backups
    Route("GET", "/v3/backups", backups.index, rule="backup:get_all"),
    Route("GET", "/v3/backups/detail", backups.detail, rule="backup:get_all"),
    Route("GET", "/v3/backups/{id}", backups.show, rule="backup:get"),
    Route("POST", "/v3/backups", backups.create, rule="backup:create", schema=backup_bodies.CREATE),
    Route("PUT", "/v3/backups/{id}", backups.update,
          since=v3(9), rule="backup:update", schema=backup_bodies.UPDATE),
    Route("DELETE", "/v3/backups/{id}", backups.delete, rule="backup:delete"),
    Route("POST", "/v3/backups/{id}/restore", backups.restore,
          rule="backup:restore", schema=backup_bodies.RESTORE),
    Route("GET", "/v3/backups/{id}/export_record", backups.export_record,
          rule="backup:export-import"),
    Route("POST", "/v3/backups/import_record", backups.import_record,
          rule="backup:backup-import", schema=backup_bodies.IMPORT),
    Route("POST", "/v3/backups/{uuid}/import_record", backups.import_record,
          rule="backup:backup-import", schema=backup_bodies.IMPORT),
    Route("POST", "/v3/backups/{id}/action", backups.reset_status,
          rule="volume_extension:backup_admin_actions:reset_status",
          schema=backup_bodies.RESET_STATUS, action="os-reset_status"),
    Route("POST", "/v3/backups/{id}/action", backups.force_delete,
          rule="volume_extension:backup_admin_actions:force_delete",
          schema=backup_bodies.FORCE_DELETE, action="os-force_delete"),
    # volumes
    Route("GET", "/v3/volumes", volumes.index, rule="volume:get_all"),
    Route("GET", "/v3/volumes/detail", volumes.detail, rule="volume:get_all"),
    Route("GET", "/v3/volumes/summary", volumes.summary, since=v3(12), rule="volume:get_all"),
    Route("GET", "/v3/volumes/{id}", volumes.show, rule="volume:get"),
    Route("POST", "/v3/volumes", volumes.create, rule="volume:create", schema=volume_bodies.CREATE),
    Route("PUT", "/v3/volumes/{id}", volumes.update,
          rule="volume:update", schema=volume_bodies.UPDATE),
    Route("DELETE", "/v3/volumes/{id}", volumes.delete, rule="volume:delete"),
    Route("GET", "/v3/volumes/{volume_id}/metadata", volume_metadata.index,
          rule="volume:get_volume_metadata"),
    Route("POST", "/v3/volumes/{volume_id}/metadata", volume_metadata.create,
          rule="volume:create_volume_metadata", schema=volume_metadata_bodies.ALL),
    Route("PUT", "/v3/volumes/{volume_id}/metadata", volume_metadata.update_all,
          rule="volume:update_volume_metadata", schema=volume_metadata_bodies.ALL),
    Route("GET", "/v3/volumes/{volume_id}/metadata/{id}", volume_metadata.show,
          rule="volume:get_volume_metadata"),
    Route("PUT", "/v3/volumes/{volume_id}/metadata/{id}", volume_metadata.update,
          rule="volume:update_volume_metadata", schema=volume_metadata_bodies.ITEM),
    Route("DELETE", "/v3/volumes/{volume_id}/metadata/{id}", volume_metadata.delete,
          rule="volume:delete_volume_metadata"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.extend,
          rule="volume:extend", schema=action_bodies.EXTEND, action="os-extend"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.reset_status,
          rule="volume_extension:volume_admin_actions:reset_status",
          schema=action_bodies.RESET_STATUS, action="os-reset_status"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.set_bootable,
          rule="volume:update", schema=action_bodies.SET_BOOTABLE, action="os-set_bootable"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.update_readonly_flag,
          rule="volume:update_readonly_flag", schema=action_bodies.UPDATE_READONLY_FLAG,
          action="os-update_readonly_flag"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.force_delete,
          rule="volume_extension:volume_admin_actions:force_delete",
          schema=action_bodies.FORCE_DELETE, action="os-force_delete"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.revert,
          since=v3(40), rule="volume:revert_to_snapshot", schema=action_bodies.REVERT,
          action="revert"),
    Route("POST", "/v3/volumes/{id}/action", volume_image_metadata.set_,
          rule="volume_extension:volume_image_metadata:set", schema=image_metadata_bodies.SET,
          action="os-set_image_metadata"),
    Route("POST", "/v3/volumes/{id}/action", volume_image_metadata.show,
          rule="volume:get_volume_metadata", schema=image_metadata_bodies.SHOW,
          action="os-show_image_metadata"),
    Route("POST", "/v3/volumes/{id}/action", volume_image_metadata.unset,
          rule="volume_extension:volume_image_metadata:remove", schema=image_metadata_bodies.UNSET,
          action="os-unset_image_metadata"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.reserve,
          rule="volume_extension:volume_actions:reserve", schema=action_bodies.RESERVE,
          action="os-reserve"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.unreserve,
          rule="volume_extension:volume_actions:unreserve", schema=action_bodies.UNRESERVE,
          action="os-unreserve"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.begin_detaching,
          rule="volume_extension:volume_actions:begin_detaching",
          schema=action_bodies.BEGIN_DETACHING, action="os-begin_detaching"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.roll_detaching,
          rule="volume_extension:volume_actions:roll_detaching",
          schema=action_bodies.ROLL_DETACHING, action="os-roll_detaching"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.attach,
          rule="volume_extension:volume_actions:attach", schema=action_bodies.ATTACH,
          action="os-attach"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.detach,
          rule="volume_extension:volume_actions:detach", schema=action_bodies.DETACH,
          action="os-detach"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.force_detach,
          rule="volume_extension:volume_admin_actions:force_detach",
          schema=action_bodies.FORCE_DETACH, action="os-force_detach"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.initialize_connection,
          rule="volume_extension:volume_actions:initialize_connection",
          schema=action_bodies.INITIALIZE_CONNECTION, action="os-initialize_connection"),
    Route("POST", "/v3/volumes/{id}/action", volume_actions.terminate_connection,
          rule="volume_extension:volume_actions:terminate_connection",
          schema=action_bodies.TERMINATE_CONNECTION, action="os-terminate_connection"),
    # attachments
    Route("GET", "/v3/attachments", attachments.index, since=v3(27)),
    Route("GET", "/v3/attachments/detail", attachments.detail, since=v3(27)),
    Route("GET", "/v3/attachments/{id}", attachments.show, since=v3(27)),
    Route("POST", "/v3/attachments", attachments.create,
          since=v3(27), rule="volume:attachment_create", schema=attachment_bodies.CREATE),
    Route("PUT", "/v3/attachments/{id}", attachments.update,
          since=v3(27), rule="volume:attachment_update", schema=attachment_bodies.UPDATE),
    Route("DELETE", "/v3/attachments/{id}", attachments.delete,
          since=v3(27), rule="volume:attachment_delete"),
    Route("POST", "/v3/attachments/{id}/action", attachments.complete,
          since=v3(44), rule="volume:attachment_complete", schema=attachment_bodies.COMPLETE,
          action="os-complete"),
    # snapshots
    Route("GET", "/v3/snapshots", snapshots.index, rule="volume:get_all_snapshots"),
    Route("GET", "/v3/snapshots/detail", snapshots.detail, rule="volume:get_all_snapshots"),
    Route("GET", "/v3/snapshots/{id}", snapshots.show, rule="volume:get_snapshot"),
    Route("POST", "/v3/snapshots", snapshots.create,
          rule="volume:create_snapshot", schema=snapshot_bodies.CREATE),
    Route("PUT", "/v3/snapshots/{id}", snapshots.update,
          rule="volume:update_snapshot", schema=snapshot_bodies.UPDATE),
    Route("DELETE", "/v3/snapshots/{id}", snapshots.delete, rule="volume:delete_snapshot"),
    Route("GET", "/v3/snapshots/{snapshot_id}/metadata", snapshot_metadata.index,
          rule="volume:get_snapshot_metadata"),
    Route("POST", "/v3/snapshots/{snapshot_id}/metadata", snapshot_metadata.create,
          rule="volume:update_snapshot_metadata", schema=snapshot_metadata_bodies.ALL),
    Route("PUT", "/v3/snapshots/{snapshot_id}/metadata", snapshot_metadata.update_all,
          rule="volume:update_snapshot_metadata", schema=snapshot_metadata_bodies.ALL),
    Route("GET", "/v3/snapshots/{snapshot_id}/metadata/{id}", snapshot_metadata.show,
          rule="volume:get_snapshot_metadata"),
    Route("PUT", "/v3/snapshots/{snapshot_id}/metadata/{id}", snapshot_metadata.update,
          rule="volume:update_snapshot_metadata", schema=snapshot_metadata_bodies.ITEM),
    Route("DELETE", "/v3/snapshots/{snapshot_id}/metadata/{id}", snapshot_metadata.delete,
          rule="volume:delete_snapshot_metadata"),
    Route("POST", "/v3/snapshots/{id}/action", snapshot_actions.reset_status,
          rule="volume_extension:snapshot_admin_actions:reset_status",
          schema=snapshot_action_bodies.RESET_STATUS, action="os-reset_status"),
    Route("POST", "/v3/snapshots/{id}/action", snapshot_actions.force_delete,
          rule="volume_extension:snapshot_admin_actions:force_delete",
          schema=snapshot_action_bodies.FORCE_DELETE, action="os-force_delete"),
    # where things are
    Route("GET", "/v3/os-availability-zone", availability_zones.index),
    Route("GET", "/v3/os-services", services.index, rule="volume_extension:services:index"),
    Route("PUT", "/v3/os-services/enable", services.enable,
          rule="volume_extension:services:update", schema=service_bodies.UPDATE),
    Route("PUT", "/v3/os-services/disable", services.disable,
          rule="volume_extension:services:update", schema=service_bodies.UPDATE),
    Route("PUT", "/v3/os-services/disable-log-reason", services.disable_log_reason,
          rule="volume_extension:services:update", schema=service_bodies.WITH_REASON),
    Route("GET", "/v3/capabilities/{host}", backends.capabilities,
          rule="volume_extension:capabilities"),
    Route("GET", "/v3/scheduler-stats/get_pools", backends.get_pools,
          rule="scheduler_extension:scheduler_stats:get_pools"),
    # what one may have
    Route("GET", "/v3/os-quota-sets/{id}", quota_sets.show, rule="volume_extension:quotas:show"),
    Route("GET", "/v3/os-quota-sets/{id}/defaults", quota_sets.defaults,
          rule="volume_extension:quotas:show"),
    Route("PUT", "/v3/os-quota-sets/{id}", quota_sets.update,
          rule="volume_extension:quotas:update", schema=quota_bodies.UPDATE),
    Route("DELETE", "/v3/os-quota-sets/{id}", quota_sets.delete,
          rule="volume_extension:quotas:delete"),
    Route("GET", "/v3/os-quota-class-sets/{id}", quota_class_sets.show,
          rule="volume_extension:quota_classes:get"),
    Route("PUT", "/v3/os-quota-class-sets/{id}", quota_class_sets.update,
          rule="volume_extension:quota_classes:update", schema=quota_bodies.UPDATE_CLASS),
    Route("GET", "/v3/limits", limits.index, rule="limits_extension:used_limits"),
    # what there is to know
    Route("GET", "/v3/types", types.index, rule="volume_extension:type_get_all"),
    Route("GET", "/v3/types/default", types.default, rule="volume_extension:type_get"),
    Route("GET", "/v3/types/{id}", types.show, rule="volume_extension:type_get"),
    Route("GET", "/v3/messages", messages.index, since=messages.SINCE, rule="message:get_all"),
    Route("GET", "/v3/messages/{id}", messages.show, since=messages.SINCE, rule="message:get"),
    Route("DELETE", "/v3/messages/{id}", messages.delete,
          since=messages.SINCE, rule="message:delete"),
    Route("GET", "/v3/resource_filters", resource_filters.index, since=v3(33)),
    Route("GET", "/v3/extensions", extensions.index),
    Route("GET", "/v3/extensions/{alias}", extensions.show),
    # beyond Cinder
    Route("GET", "/emberkeep/v1/zones", zones.index),
    Route("GET", "/emberkeep/v1/backups/{id}", conditions.show, rule="backup:get"),
    Route("GET", "/emberkeep/v1/backups/{id}/progress", progress.show, rule="backup:get"),
)  # fmt: skip

# A resource has these routes even where the table above has no row for them: a client learns from
# a fault, not from a bare page, that it is not implemented.
# The services are no resource: they have the routes above and no others.
RESOURCES = (
    "backups",
    "volumes",
    "volumes/{volume_id}/metadata",
    "attachments",
    "snapshots",
    "snapshots/{snapshot_id}/metadata",
    "os-availability-zone",
    "capabilities",
    "scheduler-stats",
    "os-quota-sets",
    "os-quota-class-sets",
    "limits",
    "types",
    "messages",
    "resource_filters",
    "extensions",
)
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
