"""Policies of volume types: who sees them, and which of their keys."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume_extension:type_get": Who.READER,
    "volume_extension:type_get_all": Who.READER,
    "volume_extension:access_types_extra_specs": Who.READER,
    "volume_extension:access_types_qos_specs_id": Who.ADMIN,
    "volume_extension:volume_type_access": Who.MEMBER,
}
