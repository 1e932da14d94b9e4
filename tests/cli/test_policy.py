"""`emberkeep policy`: the sample, and what is said of a file."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from emberkeep.api.policies.enforcer import DEFAULTS
from emberkeep.api.routes import ROUTES
from emberkeep.cli.main import main

CINDERS = """\
"admin_api": "is_admin:True"
"backup:get": "rule:operators or rule:xena_system_admin_or_project_reader"
"operators": "role:operator"
"group:create": "rule:xena_system_admin_or_project_member"
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, words)])


def checked(directory: Path, text: str | None, *words: str, code: int = 0) -> Any:
    """What `check` says as JSON of a file with this text."""
    if text is not None:
        (directory / "policy.yaml").write_text(text)
    found = run("check", "--json", "--state-dir", directory, *words)
    assert found.exit_code == code, found.output
    return json.loads(found.stdout)


def test_the_sample_is_a_policy_file_that_changes_nothing() -> None:
    printed = run("sample").stdout
    assert yaml.safe_load(printed) is None
    spoken = "\n".join(line[1:] if line.startswith('#"') else line for line in printed.split("\n"))
    assert yaml.safe_load(spoken) == DEFAULTS


def test_the_sample_names_the_operations_of_each_rule() -> None:
    printed = run("sample").stdout
    for route in ROUTES:
        if route.rule:
            before = printed.partition(f'#"{route.rule}"')[0].rpartition("\n\n")[2]
            assert f"# {route.method:6} {route.path}" in before


def test_without_a_file_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert checked(tmp_path, None) == {"file": None, "findings": [], "decision": None}
    assert "all rules are as by default" in run("check", "--state-dir", tmp_path).stdout


def test_a_file_of_cinders_carries_over_and_its_other_rules_are_mentioned(tmp_path: Path) -> None:
    said = checked(tmp_path, CINDERS)
    assert said["file"] == f"{tmp_path}/policy.yaml"
    (finding,) = said["findings"]
    assert (finding["level"], finding["rule"]) == ("note", "group:create")
    assert finding["text"].startswith("this service has no such rule")
    assert run("check", "--state-dir", tmp_path).stdout.startswith("note: group:create: this serv")


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ('"backup:gett": "role:x"', "note", "no such rule; is backup:get meant?"),
        ('"backup:get": "rule:x"', "note", "asks rule:x, which there is not"),
        ('"backup:get": "tenant:%(project_id)s"', "note", "compares tenant, which no caller has"),
        ('"backup:get": "project_id:%(tenant)s"', "note", "looks at %(tenant)s, which is not"),
        ('"backup:get": "user_id:%(user_id)s"', "note", "looks at %(user_id)s: the caller's own"),
        ('"backup:get": "admin"', "error", "can't understand the check 'admin'"),
        ('"backup:get": "rule:backup:get"', "error", "round in a circle: backup:get → backup:get"),
        ('"backup:get": "rule:', "error", "line 1: found unexpected end of stream"),
        ("- x", "error", "is no mapping"),
    ],
)
def test_what_is_wrong_or_may_not_be_meant_is_said(
    tmp_path: Path, line: str, level: str, text: str
) -> None:
    said = checked(tmp_path, line, code=1 if level == "error" else 0)
    (finding,) = said["findings"]
    assert finding["level"] == level
    assert text in finding["text"]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = checked(tmp_path, '"a": "x"\n"b": 7\n"c": "role:x"', code=1)
    assert [(one["rule"], one["level"]) for one in said["findings"]] == [
        ("a", "error"),
        ("b", "error"),
        ("c", "note"),
    ]


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--rule backup:delete --roles member --project p --target-project p", True),
        ("--rule backup:delete --roles member --project p --target-project q", False),
        ("--rule backup:delete --roles reader --project p --target-project p", False),
        ("--rule backup:delete --roles admin --project p --target-project q", True),
        ("--rule backup:get_all --roles reader --project p", True),
        ("--rule backup:get_all --roles reader", False),
        ("--rule backup:get --roles operator,keeper --project p --target-project q", True),
        ("--rule admin_api --roles admin --project p", True),
        ("--rule context_is_admin --roles member --project p", False),
    ],
)
def test_it_says_what_a_rule_decides(tmp_path: Path, words: str, allowed: bool) -> None:
    said = checked(tmp_path, CINDERS, *words.split())["decision"]
    assert said["rule"] == words.split()[1]
    assert said["allowed"] is allowed
    printed = run("check", "--state-dir", tmp_path, *words.split()).stdout.splitlines()[-1]
    assert printed.startswith(f"{said['rule']}: {'allowed' if allowed else 'denied'} (")
    assert said["check"] in printed


def test_a_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text('"backup:get": "!"')
    named = ("--policy-file", str(tmp_path / "new.yaml"))
    said = checked(tmp_path, None, *named, "--rule", "backup:get", "--roles", "admin")
    assert said["decision"] == {"rule": "backup:get", "check": "!", "allowed": False}
    missing = ("--policy-file", str(tmp_path / "no.yaml"))
    (finding,) = checked(tmp_path, None, *missing, code=1)["findings"]
    assert finding["text"] == "No such file or directory"


def test_a_rule_that_there_is_not_ends_with_2(tmp_path: Path) -> None:
    said = run("check", "--state-dir", tmp_path, "--rule", "backup:gett", "--roles", "x")
    assert said.exit_code == 2
    assert said.stderr.startswith("emberkeep: backup:gett: this service has no such rule")
