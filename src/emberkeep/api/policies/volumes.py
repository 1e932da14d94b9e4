"""Policies of volumes."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume:get_all": Who.READER,
    "volume:get": Who.READER,  # its denial reads "not found"
    "volume:create": Who.MEMBER,
    "volume:update": Who.MEMBER,
    "volume:delete": Who.MEMBER,
    "volume:force_delete": Who.ADMIN,
    "volume_extension:volume_tenant_attribute": Who.READER,
    "volume_extension:volume_host_attribute": Who.ADMIN,
    "volume_extension:volume_mig_status_attribute": Who.ADMIN,
}
