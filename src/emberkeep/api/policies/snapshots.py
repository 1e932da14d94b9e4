"""Policies of snapshots."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume:get_all_snapshots": Who.READER,
    "volume:get_snapshot": Who.READER,
    "volume:create_snapshot": Who.MEMBER,
    "volume:update_snapshot": Who.MEMBER,
    "volume:delete_snapshot": Who.MEMBER,
    "volume:get_snapshot_metadata": Who.READER,
    "volume:update_snapshot_metadata": Who.MEMBER,
    "volume:delete_snapshot_metadata": Who.MEMBER,
    "volume_extension:extended_snapshot_attributes": Who.READER,
    "volume_extension:snapshot_admin_actions:reset_status": Who.ADMIN,
    "volume_extension:snapshot_admin_actions:force_delete": Who.ADMIN,
}
