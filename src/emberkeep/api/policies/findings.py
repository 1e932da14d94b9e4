"""What is to be said of a policy file: what makes it unusable, and what may not be meant."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from oslo_policy import _checks  # the classes of checks are public in name only

from emberkeep.api.policies.enforcer import DEFAULTS, rules_in_force
from emberkeep.api.policies.file import (
    Check,
    PolicyError,
    circle,
    content,
    parsed,
    parts,
    references,
)

# What a caller has, and what is known of the thing that it wants to act on.
CREDENTIALS = (
    *("user_id", "project_id", "roles", "is_admin", "is_admin_project"),
    *("domain_id", "user_domain_id", "project_domain_id", "system_scope", "system"),
)
TARGET = ("project_id", "user_id")


class Level(StrEnum):
    ERROR = "error"  # the service would not start
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is empty for what is said of the file as a whole."""

    level: Level
    rule: str
    text: str


def findings(file: Path) -> list[Finding]:
    """Everything at once, in the file's order."""
    try:
        written = content(file)
    except PolicyError as error:
        return [Finding(Level.ERROR, "", str(error).removeprefix(f"{file}: "))]
    found: list[Finding] = []
    understood: dict[str, Check] = {}
    for name, text in written.items():
        if (tree := parsed(text)) is None:
            told = f"can't understand the check {text!r}"
            found.append(Finding(Level.ERROR, name, told))
        else:
            understood[name] = tree
    rules = {**rules_in_force(None), **understood}
    asked = {other for tree in understood.values() for other in references(tree)}
    for name, tree in understood.items():
        if told_circle := circle(name, rules):
            found.append(Finding(Level.ERROR, name, told_circle))
        if name not in DEFAULTS and name not in asked:
            close = difflib.get_close_matches(name, DEFAULTS, 1)
            like = f"; is {close[0]} meant?" if close else ""
            found.append(Finding(Level.NOTE, name, f"this service has no such rule{like}"))
        found += [Finding(Level.NOTE, name, text) for text in _doubts(tree, rules)]
    return found


def _doubts(tree: Check, rules: dict[str, Check]) -> Iterator[str]:
    for other in sorted(references(tree) - set(rules)):
        yield f"asks rule:{other}, which there is not: that part allows nobody"
    for part in parts(tree):
        if isinstance(part, _checks.GenericCheck) and re.fullmatch(r"[A-Za-z_.]+", part.kind):
            name = part.kind.partition(".")[0]
            if name not in (*CREDENTIALS, "True", "False", "None"):
                yield f"compares {name}, which no caller has: that part allows nobody"
        for name in re.findall(r"%\((\w+)\)", getattr(part, "match", "")):
            if name not in TARGET:
                yield f"looks at %({name})s, which is not told: that part allows nobody"
            elif name == "user_id":
                yield "looks at %(user_id)s: the caller's own, where a thing is listed or made"
