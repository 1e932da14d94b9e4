"""Policies: who may do what.  The names of the rules are Cinder's, so are the defaults.

One module a resource, each with a literal table `RULES`.  A rule that has a target allows a member
or reader its own project's things only; an admin passes every rule.  An operator's `policy.yaml`
may say otherwise of any of them; `enforcer` decides.
"""

from emberkeep.api.policies import (
    attachments,
    backends,
    backups,
    limits,
    messages,
    quota_sets,
    services,
    snapshots,
    types,
    volume_actions,
    volume_metadata,
    volumes,
)
from emberkeep.api.policies.who import Who

RULES: dict[str, Who] = {
    **backups.RULES,
    **volumes.RULES,
    **volume_metadata.RULES,
    **volume_actions.RULES,
    **attachments.RULES,
    **snapshots.RULES,
    **services.RULES,
    **quota_sets.RULES,
    **limits.RULES,
    **messages.RULES,
    **types.RULES,
    **backends.RULES,
}
