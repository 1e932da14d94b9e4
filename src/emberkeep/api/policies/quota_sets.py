"""Policies of quotas: of projects, and of classes of projects."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume_extension:quotas:show": Who.READER,
    "volume_extension:quotas:update": Who.ADMIN,
    "volume_extension:quotas:delete": Who.ADMIN,
    "volume_extension:quota_classes:get": Who.ADMIN,
    "volume_extension:quota_classes:update": Who.ADMIN,
}
