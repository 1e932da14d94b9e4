"""The operator's `policy.yaml`: names of rules, and for each a check in oslo.policy's language.

What oslo.policy answers with "nobody" and a traceback in the log, a check that it can't read or
rules that go round in a circle, is an error here, found before anything is decided with it.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from oslo_policy import _checks, policy  # the classes of checks are public in name only

Check = _checks.BaseCheck


class PolicyError(Exception):
    """The file can't be used; the message names it, and the rule."""


def read(file: Path) -> dict[str, Check]:
    """The file's rules.  Raises `PolicyError`."""
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise PolicyError(f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PolicyError(f"{file}: {_problem(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PolicyError(f"{file}: is no mapping of rules to checks")
    return {name: _parsed(file, name, check) for name, check in content.items()}


def refuse_circles(file: Path, rules: Mapping[str, Check]) -> None:
    """Raise `PolicyError` if a rule refers to itself, directly or by others."""
    for name in rules:
        if circle := _circle(name, rules, ()):
            raise PolicyError(f"{file}: {name}: goes round in a circle: {' → '.join(circle)}")


def parsed(check: Any) -> Check | None:
    """The check; None if it is none."""
    if not isinstance(check, (str, list)):
        return None
    with _quiet():
        try:
            rules: Any = policy.Rules.from_dict  # takes lists, too, whatever its types say
            (tree,) = rules({"": check}).values()
        except (TypeError, AttributeError):
            return None
    # What is not understood allows nobody, just as "!" does.
    nobody = sum(isinstance(part, _checks.FalseCheck) for part in _parts(tree))
    known: Check = tree
    return known if nobody <= str(check).count("!") else None


def references(tree: Check) -> set[str]:
    """The names of the rules that a check asks."""
    return {part.match for part in _parts(tree) if isinstance(part, _checks.RuleCheck)}


def attributes(tree: Check) -> set[str]:
    """What a check compares of the caller, for instance `project_id`."""
    return {part.kind for part in _parts(tree) if isinstance(part, _checks.GenericCheck)}


def _parsed(file: Path, name: object, check: object) -> Check:
    if not isinstance(name, str):
        raise PolicyError(f"{file}: {name!r} is no name of a rule")
    tree = parsed(check)
    if tree is None:
        raise PolicyError(f"{file}: {name}: can't understand the check {check!r}")
    return tree


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return "is no YAML"
    return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'is no YAML'}"


def _parts(tree: Check) -> Iterator[Check]:
    """The check and all within it."""
    yield tree
    within = getattr(tree, "rules", None) or [getattr(tree, "rule", None)]
    for part in within:
        if isinstance(part, Check):
            yield from _parts(part)


def _circle(name: str, rules: Mapping[str, Check], way: tuple[str, ...]) -> tuple[str, ...] | None:
    if name in way:
        return (*way[way.index(name) :], name)
    if name not in rules:
        return None
    for other in sorted(references(rules[name])):
        if circle := _circle(other, rules, (*way, name)):
            return circle
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep oslo.policy from logging a traceback for what is reported otherwise."""
    logger = logging.getLogger("oslo_policy._parser")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
