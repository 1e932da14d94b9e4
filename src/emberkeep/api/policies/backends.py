"""Policies of what an operator sees of volume back ends."""

from emberkeep.api.policies.who import Who

RULES = {
    "volume_extension:capabilities": Who.ADMIN,
    "scheduler_extension:scheduler_stats:get_pools": Who.ADMIN,
}
