"""The policy of limits: who sees, beside them, what is used."""

from emberkeep.api.policies.who import Who

RULES = {"limits_extension:used_limits": Who.READER}
