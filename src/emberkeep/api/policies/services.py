"""Policies of the list of services."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume_extension:services:index": Who.ADMIN,
    "volume_extension:services:update": Who.ADMIN,
}
