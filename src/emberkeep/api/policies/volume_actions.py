"""Policies of what is done to a volume by actions."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume:extend": Who.MEMBER,
    "volume:extend_attached_volume": Who.MEMBER,
    "volume:revert_to_snapshot": Who.MEMBER,
    "volume:update_readonly_flag": Who.MEMBER,
    "volume_extension:volume_admin_actions:reset_status": Who.ADMIN,
    "volume_extension:volume_admin_actions:force_delete": Who.ADMIN,
    "volume_extension:volume_admin_actions:force_detach": Who.ADMIN,
    "volume_extension:volume_actions:reserve": Who.MEMBER,
    "volume_extension:volume_actions:unreserve": Who.MEMBER,
    "volume_extension:volume_actions:begin_detaching": Who.MEMBER,
    "volume_extension:volume_actions:roll_detaching": Who.MEMBER,
    "volume_extension:volume_actions:attach": Who.MEMBER,
    "volume_extension:volume_actions:detach": Who.MEMBER,
    "volume_extension:volume_actions:initialize_connection": Who.MEMBER,
    "volume_extension:volume_actions:terminate_connection": Who.MEMBER,
}
