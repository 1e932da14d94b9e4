"""Runs the files of requests beside it, *.yaml: the API as a person would learn it, in order.

Each file is one test.  Beside gabbi's own keys a request may have `response_body`: the whole
answer, as a template (see `templates`).
"""

import unittest
from pathlib import Path
from typing import Any

import pytest
from gabbi import handlers, suitemaker, utils
from gabbi.handlers.base import ResponseHandler
from tests.api import fixtures
from tests.api.templates import differences

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "api.md"


class WholeBody(ResponseHandler):
    test_key_suffix = "body"
    test_key_value: dict[str, Any] = {}  # noqa: RUF012 - gabbi's class attribute

    def preprocess(self, test: Any) -> None:
        template = test.replace_template(test.test_data[self._key])
        found = "\n".join(differences(template, test.response_data))
        assert not found, found


def run(file: Path) -> unittest.TestResult:
    """Send the file's requests, up to the first that is not answered as it says."""
    suite = suitemaker.test_suite_from_dict(
        unittest.TestLoader(),
        file.stem,
        utils.load_yaml(yaml_file=str(file)),
        str(file.parent),
        host="localhost",
        port=8776,
        fixture_module=fixtures,
        intercept=lambda: fixtures.application,
        handlers=[handler() for handler in (WholeBody, *handlers.RESPONSE_HANDLERS)],
    )
    result = unittest.TestResult()
    result.failfast = True
    suite.run(result)
    return result


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("file", sorted(HERE.glob("*.yaml")), ids=lambda file: file.stem)
def test_requests_are_answered_as_the_file_says(file: Path) -> None:
    result = run(file)
    for test, trace in result.failures + result.errors:
        pytest.fail(f"{file.name}: {test.test_data['name']}\n{trace}", pytrace=False)
    assert result.testsRun > 0
    assert not result.skipped


@pytest.mark.parametrize(
    ("said", "is_true"),
    [
        ("status: 300", True),
        ("status: 200", False),
        ("status: 300, response_body: {versions: []}", False),
        ('status: 300, response_json_paths: {"$.versions[0].id": v2.0}', False),
        ("status: 300, response_headers: {content-type: text/html}", False),
    ],
)
def test_a_file_that_says_what_is_not_true_fails(tmp_path: Path, said: str, is_true: bool) -> None:
    file = tmp_path / "root.yaml"
    file.write_text(f"fixtures: [Service]\ntests: [{{name: root, GET: /, {said}}}]\n")
    assert run(file).wasSuccessful() == is_true


def test_the_documentation_lists_every_file_with_its_first_line() -> None:
    listed = [
        line
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("* [") and "yaml" in line
    ]
    assert listed == [
        f"* [{file.stem}](../tests/api/{file.name}): {file.read_text().splitlines()[0][2:]}"
        for file in sorted(HERE.glob("*.yaml"))
    ]
