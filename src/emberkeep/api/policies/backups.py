"""Policies of backups."""

from emberkeep.api.policies.who import Who

RULES = {
    "backup:get_all": Who.READER,
    "backup:get": Who.READER,
    "backup:create": Who.MEMBER,  # of the volume's project
    "backup:update": Who.MEMBER,
    "backup:delete": Who.MEMBER,
    "backup:restore": Who.MEMBER,
    "backup:backup-import": Who.ADMIN,
    "backup:export-import": Who.ADMIN,
    "backup:backup_project_attribute": Who.ADMIN,
    "volume_extension:backup_admin_actions:reset_status": Who.ADMIN,
    "volume_extension:backup_admin_actions:force_delete": Who.ADMIN,
}
