"""Who may do what: the defaults, and what an operator's policy.yaml makes of them."""

import logging
from pathlib import Path

import pytest

from emberkeep.api.context import Identity, who_may
from emberkeep.api.policies import RULES
from emberkeep.api.policies.enforcer import DEFAULTS, Enforcer
from emberkeep.api.policies.file import PolicyError
from emberkeep.api.policies.who import Who

OWN, OTHER = "a" * 32, "b" * 32
READER, MEMBER, ADMIN = {"reader"}, {"reader", "member"}, {"reader", "member", "admin"}


def may(rule, roles, target=OWN, *, enforcer=None, project=OWN, **more):
    identity = Identity("ada", project, frozenset(roles), **more)
    _, allowed = who_may(identity, enforcer or Enforcer())
    return allowed(rule, target)


def enforcer(directory: Path, text: str) -> Enforcer:
    (directory / "policy.yaml").write_text(text)
    return Enforcer(directory / "policy.yaml")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_allows_whom_its_table_says(rule):
    enough = {Who.READER: [READER, MEMBER], Who.MEMBER: [MEMBER], Who.ADMIN: []}[RULES[rule]]
    for roles in (set(), {"stranger"}, READER, MEMBER):
        assert may(rule, roles, OWN) is (roles in enough)
        assert may(rule, roles, None) is (roles in enough)
        assert may(rule, roles, OTHER) is False
    for roles in (ADMIN, {"admin"}, {"Admin"}):
        assert all(may(rule, roles, target) for target in (OWN, OTHER, None))


@pytest.mark.parametrize("target", [OWN, OTHER, None, ""])
def test_a_caller_without_a_project_has_no_own_one(target):
    assert not may("backup:get_all", MEMBER, target, project="")
    assert may("backup:get_all", ADMIN, target, project="")


def test_who_is_an_admin_is_a_policy_but_where_the_identity_knows(tmp_path):
    operators = enforcer(tmp_path, '"context_is_admin": "role:operator"')
    keystones = Identity("ada", OWN, frozenset({"operator"}))
    assert who_may(keystones, operators)[0] is True
    assert who_may(keystones, Enforcer())[0] is False
    assert may("backup:backup-import", {"operator"}, enforcer=operators)
    said = Identity("ada", OWN, frozenset({"operator"}), is_admin=False)
    assert who_may(said, operators)[0] is False


def test_an_admin_of_another_project_than_the_admins_is_none_of_the_api(tmp_path):
    strict = enforcer(tmp_path, '"context_is_admin": "role:admin and is_admin_project:True"')
    assert may("backup:backup-import", ADMIN, enforcer=strict)
    assert not may("backup:backup-import", ADMIN, enforcer=strict, is_admin_project=False)


@pytest.mark.parametrize(
    ("check", "roles", "target", "allowed"),
    [
        ('""', set(), OTHER, True),
        ('"@"', set(), OTHER, True),
        ('"!"', ADMIN, OWN, False),
        ('"role:keeper"', {"keeper"}, OTHER, True),
        ('"not role:reader"', READER, OWN, False),
        ('"rule:admin_or_owner"', READER, OWN, True),
        ('"rule:admin_or_owner"', READER, OTHER, False),
        ('"rule:nowhere"', ADMIN, OWN, False),
        ('"user_id:%(user_id)s"', set(), None, True),
        ('"user_id:%(user_id)s"', set(), OWN, False),
        ('"user_domain_id:default and role:reader"', READER, OWN, True),
        ('[["role:reader", "role:member"], ["role:keeper"]]', READER, OWN, False),
        ('[["role:reader", "role:member"], ["role:keeper"]]', {"keeper"}, OWN, True),
        ('"roles.name:x"', READER, OWN, False),  # oslo.policy fails in it: it allows nobody
    ],
)
def test_a_file_overrides_a_rule(tmp_path, check, roles, target, allowed):
    overridden = enforcer(tmp_path, f'"backup:delete": {check}')
    attributes = {"user_domain_id": "default"}
    found = may("backup:delete", roles, target, enforcer=overridden, attributes=attributes)
    assert found is allowed
    assert may("backup:get", READER, enforcer=overridden)


def test_a_base_rule_changes_all_that_ask_it(tmp_path):
    text = '"xena_system_admin_or_project_member": "role:admin or role:operator"'
    overridden = enforcer(tmp_path, text)
    assert may("backup:create", {"operator"}, OTHER, enforcer=overridden)
    assert not may("backup:create", MEMBER, enforcer=overridden)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"backup:get": "rule:', "line 1: found unexpected end of stream"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("- backup:get", "is no mapping of rules to checks"),
        ("7: role:x", "7 is no name of a rule"),
        ('"backup:get": 7', "backup:get: can't understand the check 7"),
        ('"backup:get": "admin"', "backup:get: can't understand the check 'admin'"),
        ('"backup:get": "role:a or"', "backup:get: can't understand the check 'role:a or'"),
        ('"backup:get": "(role:a"', "backup:get: can't understand the check '(role:a'"),
        ('"backup:get": "! or admin"', "backup:get: can't understand the check '! or admin'"),
        ('"backup:get": "p:%(project_id)"', "backup:get: can't understand"),
        ('"backup:get": "p:%(project_id)d"', "backup:get: can't understand"),
        ('"backup:get": [[7]]', "backup:get: can't understand the check [[7]]"),
        ('"a": "rule:a"', "a: goes round in a circle: a → a"),
        ('"a": "not rule:b"\n"b": "role:x or rule:a"', "a: goes round in a circle: a → b → a"),
    ],
)
def test_an_unusable_file_is_one_line_that_names_it(tmp_path, text, told, caplog):
    with pytest.raises(PolicyError) as refused:
        enforcer(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path}/policy.yaml: {told}")
    assert "\n" not in str(refused.value)
    assert not caplog.records


def test_a_file_that_is_no_text_is_one_too(tmp_path):
    (tmp_path / "policy.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match=r"policy\.yaml: is no YAML"):
        Enforcer(tmp_path / "policy.yaml")


def test_a_file_may_come_later(tmp_path):
    waiting = Enforcer(tmp_path / "policy.yaml")
    assert may("backup:get", READER, enforcer=waiting)
    (tmp_path / "policy.yaml").write_text('"backup:get": "role:member"')
    assert not may("backup:get", READER, enforcer=waiting)


def test_a_changed_file_is_in_force_at_once_and_a_broken_one_never(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    changing = enforcer(tmp_path, "")
    assert may("backup:get", READER, enforcer=changing)
    (tmp_path / "policy.yaml").write_text('"backup:get": "role:member"')
    assert not may("backup:get", READER, enforcer=changing)
    (tmp_path / "policy.yaml").write_text('"backup:get": "role:')
    assert not may("backup:get", READER, enforcer=changing)
    (tmp_path / "policy.yaml").unlink()
    assert not may("backup:get", READER, enforcer=changing)
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if line.endswith("stay in force")]) == 2


def test_a_rule_that_nobody_defined_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        may("backup:nothing", ADMIN)


def test_every_default_can_be_understood():
    assert set(RULES) < set(DEFAULTS)
    assert {who.check for who in Who} <= {f"rule:{name}" for name in DEFAULTS}
