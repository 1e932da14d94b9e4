"""Decides with the rules: the defaults, and what the operator's `policy.yaml` says otherwise.

Invariants
* one enforcer an application, handed to it;
* the file is read anew when it changes; of one that has become unusable, or is gone, the log
  tells, and the rules that were in force stay in force.
"""

import logging
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from emberkeep.api.policies import RULES
from emberkeep.api.policies.file import Check, PolicyError, circle, parsed, read
from emberkeep.api.policies.who import BASE

_LOG = logging.getLogger(__name__)

DEFAULTS: Mapping[str, str] = {**BASE, **{name: who.check for name, who in RULES.items()}}


class Enforcer:
    """Asks oslo.policy.  Raises `PolicyError` if the file is unusable; it need not be there yet."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._stamp = _stamp(file)
        self._policy = _loaded(file if self._stamp else None)

    def allows(
        self, rule: str, credentials: Mapping[str, Any], target: Mapping[str, str | None]
    ) -> bool:
        """Whether the rule lets the owner of the credentials act on the target.

        A rule that can't be decided, because a service that it asks does not answer or because of
        what it compares, allows nobody.
        """
        if rule not in DEFAULTS:
            raise KeyError(rule)
        self._look_again()
        mutable: MutableMapping[str, Any] = dict(credentials)
        try:
            return bool(self._policy.enforce(rule, dict(target), mutable))
        except Exception:
            _LOG.exception("the policy %s can't be decided; it allows nobody", rule)
            return False

    def _look_again(self) -> None:
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._policy = _loaded(self._file)
        except PolicyError as error:
            _LOG.error("%s; the rules that were in force stay in force", error)
        else:
            _LOG.info("the policies of %s are in force", self._file)


def rules_in_force(file: Path | None) -> dict[str, Check]:
    """All rules, those of the file before the defaults.  Raises `PolicyError`."""
    defaults = {name: _check(check) for name, check in DEFAULTS.items()}
    if file is None:
        return defaults
    rules = {**defaults, **read(file)}
    for name in rules:
        if told := circle(name, rules):
            raise PolicyError(f"{file}: {name}: {told}")
    return rules


def _loaded(file: Path | None) -> policy.Enforcer:
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[], default_config_dirs=[])
    enforcer = policy.Enforcer(conf, use_conf=False)
    enforcer.skip_undefined_check = True  # `emberkeep policy check` tells of those
    enforcer.set_rules(dict(rules_in_force(file)))
    return enforcer


def _check(text: str) -> Check:
    tree = parsed(text)
    assert tree is not None, text
    return tree


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """Changes when the file does."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size)
