"""Policies of a volume's metadata, and of its image's."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume:get_volume_metadata": Who.READER,
    "volume:create_volume_metadata": Who.MEMBER,
    "volume:update_volume_metadata": Who.MEMBER,
    "volume:delete_volume_metadata": Who.MEMBER,
    "volume_extension:volume_image_metadata:show": Who.READER,
    "volume_extension:volume_image_metadata:set": Who.MEMBER,
    "volume_extension:volume_image_metadata:remove": Who.MEMBER,
}
