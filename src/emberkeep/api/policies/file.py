"""The operator's `policy.yaml`: names of rules, and for each a check in oslo.policy's language.

What oslo.policy would answer with "nobody" and a traceback in the log, or with an error at the
first request, is found here, before anything is decided with it: a check that it can't read, rules
that go round in a circle.
"""

import ast
import logging
from collections import defaultdict
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
    rules = {}
    for name, text in content(file).items():
        tree = parsed(text)
        if tree is None:
            raise PolicyError(f"{file}: {name}: can't understand the check {text!r}")
        rules[name] = tree
    return rules


def content(file: Path) -> dict[str, Any]:
    """The file's names and checks, not understood yet.  Raises `PolicyError`."""
    try:
        found = yaml.safe_load(file.read_text())
    except OSError as error:
        raise PolicyError(f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise PolicyError(f"{file}: {_problem(error)}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise PolicyError(f"{file}: is no mapping of rules to checks")
    for name in found:
        if not isinstance(name, str):
            raise PolicyError(f"{file}: {name!r} is no name of a rule")
    return found


def parsed(text: Any) -> Check | None:
    """The check; None if it is none."""
    if not isinstance(text, (str, list)):
        return None
    with _quiet():
        try:
            rules: Any = policy.Rules.from_dict  # takes lists, too, whatever its types say
            tree: Check = rules({"": text})[""]
        except (TypeError, AttributeError, ValueError):
            return None
    # What is not understood allows nobody, just as "!" does.
    nobody = sum(isinstance(part, _checks.FalseCheck) for part in parts(tree))
    if nobody > str(text).count("!") or not all(map(_can_be_asked, parts(tree))):
        return None
    return tree


def parts(tree: Check) -> Iterator[Check]:
    """The check and all within it."""
    yield tree
    within = getattr(tree, "rules", None) or [getattr(tree, "rule", None)]
    for part in within:
        if isinstance(part, Check):
            yield from parts(part)


def references(tree: Check) -> set[str]:
    """The names of the rules that a check asks."""
    return {part.match for part in parts(tree) if isinstance(part, _checks.RuleCheck)}


def circle(name: str, rules: Mapping[str, Check]) -> str | None:
    """The way from a rule back to itself, in words; None if there is none."""
    way = _way_back(name, rules, ())
    return None if way is None else f"goes round in a circle: {' → '.join(way)}"


def _way_back(
    name: str, rules: Mapping[str, Check], way: tuple[str, ...]
) -> tuple[str, ...] | None:
    if name in way:
        return (*way, name) if name == way[0] else None
    for other in sorted(references(rules[name])) if name in rules else ():
        if back := _way_back(other, rules, (*way, name)):
            return back
    return None


def _can_be_asked(part: Check) -> bool:
    """Whether oslo.policy can ask it without an error of Python's."""
    if isinstance(part, _checks.Check):
        try:
            _ = part.match % defaultdict(str)
        except (TypeError, ValueError):
            return False
    if isinstance(part, _checks.GenericCheck):
        try:
            ast.literal_eval(part.kind)
        except SyntaxError:
            return False
        except ValueError:
            return True  # a name, as it should be
    return True


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return "is no YAML"
    return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'is no YAML'}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep oslo.policy from logging a traceback for what is reported otherwise."""
    logger = logging.getLogger("oslo_policy._parser")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
