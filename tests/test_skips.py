"""A test that skips without being listed fails the run."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).with_name("conftest.py").read_text()


@pytest.mark.parametrize(
    ("listed", "code"),
    [("", pytest.ExitCode.TESTS_FAILED), ("test_it.py::test_it: why", pytest.ExitCode.OK)],
)
def test_only_a_listed_skip_is_tolerated(
    pytester: pytest.Pytester, listed: str, code: pytest.ExitCode
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makefile(".txt", skips=listed)
    pytester.makepyfile(test_it="import pytest\n\ndef test_it(): pytest.skip('no such thing here')")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == code
