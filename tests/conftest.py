"""Rules that hold for every test of the project."""

from pathlib import Path

import hypothesis
import pytest

# Nothing is timed in a test: a machine may be busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

SKIPS = Path(__file__).with_name("skips.txt")


class UnlistedSkips:
    """Fails a run in which a test skips that `skips.txt` does not name."""

    def __init__(self, listed: set[str]) -> None:
        self.listed = listed
        self.unlisted: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and report.nodeid not in self.listed:
            self.unlisted.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped and report.nodeid not in self.listed:
            self.unlisted.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self.unlisted:
            terminalreporter.write_line(f"skipped, but not in tests/skips.txt: {nodeid}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    lines = (line.partition(": ")[0].strip() for line in SKIPS.read_text().splitlines())
    listed = {line for line in lines if line and not line.startswith("#")}
    config.pluginmanager.register(UnlistedSkips(listed))
