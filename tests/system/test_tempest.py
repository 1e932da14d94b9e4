"""Tempest and its block-storage plugin, unmodified, against the service behind a real Keystone.

`tempest.txt` names every test of the selected modules: those that must pass, and those left out.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services import keystone, tempest
from tests.services.tempest import Outcome, Tempest
from tests.system.service import serving

pytestmark = pytest.mark.slow

LIST = Path(__file__).with_name("tempest.txt")
NOT_REACHED = Outcome("not reached", 0, "")


def listed() -> dict[str, str]:
    """The reason of each test for which it is left out, empty for one that must pass."""
    lines = (line.strip() for line in LIST.read_text().splitlines())
    pairs = [line.partition(": ") for line in lines if line and not line.startswith("#")]
    assert [name for name, count in Counter(pair[0] for pair in pairs).items() if count > 1] == []
    return {name: reason for name, _, reason in pairs}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tempest]:
    state = tmp_path_factory.mktemp("emberkeep")
    with keystone.running(tmp_path_factory.mktemp("keystone")) as identity:
        user = identity.add_user("emberkeep", "emberkeep-password", "service", ["service"])
        (state / "emberkeep.conf").write_text(keystone.options(identity, user))
        with (
            serving(state) as service,
            tempest.configured(tmp_path_factory.mktemp("tempest"), identity) as ready,
        ):
            url = f"http://127.0.0.1:{service.port}/v3/$(project_id)s"
            identity.offer_block_storage(url)
            yield ready


def test_each_test_of_the_selected_modules_must_pass_or_is_left_out(configured: Tempest) -> None:
    assert listed().keys() - configured.ids.keys() == set()
    assert configured.ids.keys() - listed().keys() == set()


def test_what_must_pass_passes(configured: Tempest) -> None:
    left_out = {name: reason for name, reason in listed().items() if reason}
    required = [name for name in listed() if name not in left_out]
    outcomes = configured.run(required)
    print(table(outcomes, left_out))
    wrong = {
        name: outcome
        for name in dict.fromkeys([*required, *outcomes])
        if (outcome := outcomes.get(name, NOT_REACHED)).status != "passed"
    }
    assert not wrong, "\n\n".join(
        f"{outcome.status}: {name}\n{outcome.reason}" for name, outcome in wrong.items()
    )


def table(outcomes: dict[str, Outcome], left_out: dict[str, str]) -> str:
    rows = [(one.status, f"{one.seconds:5.1f} s", name) for name, one in outcomes.items()]
    rows += [("left out", "", f"{name}: {reason}") for name, reason in left_out.items()]
    count = Counter(row[0] for row in rows)
    return "\n".join(
        [
            "",
            *(f"{status:9}{seconds:>9}  {what}" for status, seconds, what in sorted(rows)),
            ", ".join(f"{number} {status}" for status, number in sorted(count.items())),
        ]
    )
