"""A documented policy file with every rule and its default."""

from collections.abc import Iterator

from emberkeep.api.policies import RULES
from emberkeep.api.policies.who import BASE, Who
from emberkeep.api.routes import ROUTES

HEAD = """\
# Policies of Emberkeep: who may do what.  Put what you want to be otherwise into policy.yaml in
# the state directory; what is commented out is the default.  The language is oslo.policy's, the
# names are Cinder's.  `emberkeep policy check` says what is wrong with a file.
"""
WORDS = {
    Who.ADMIN: "Admins.",
    Who.MEMBER: "Admins, and members for what is of their own project.",
    Who.READER: "Admins, and readers for what is of their own project.",
}
BASE_WORDS = {
    "context_is_admin": "Who is an admin: sees every project's things, and passes is_admin:True.",
    "admin_api": "What most rules for admins ask.",
    "admin_or_owner": "What rules of older releases ask; no default does.",
    "xena_system_admin_or_project_member": "What most rules for changing something ask.",
    "xena_system_admin_or_project_reader": "What most rules for looking at something ask.",
}


def sample() -> str:
    """The whole file."""
    return "\n".join((HEAD, *_base(), *_rules()))


def _base() -> Iterator[str]:
    for name, check in BASE.items():
        yield f'# {BASE_WORDS[name]}\n#"{name}": "{check}"\n'


def _rules() -> Iterator[str]:
    for name, who in RULES.items():
        lines = [WORDS[who], *_operations(name)]
        comment = "".join(f"# {line}\n" for line in lines)
        yield f'{comment}#"{name}": "{who.check}"\n'


def _operations(rule: str) -> list[str]:
    found = [
        f"{route.method:6} {route.path}" + (f" ({route.action})" if route.action else "")
        for route in ROUTES
        if route.rule == rule
    ]
    return found or ["Asked within other operations, mostly for what they show."]
