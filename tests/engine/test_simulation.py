"""Lives of a repository from seeds, the real engine over a simulated store and ledger.

`python -m tests.engine.simulation SEED` tells the story of one.
"""

import os
import subprocess
import sys
import time

import pytest
from tests.engine.simulation.lives import live

SHARDS = 8
QUICK, MANY = 160, 4000  # lives
MINUTES = "EMBERKEEP_SOAK_MINUTES"


@pytest.mark.parametrize("shard", range(4))
def test_a_repository_keeps_its_promises(shard: int) -> None:
    for seed in range(shard, QUICK, 4):
        live(seed)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_it_keeps_them_in_thousands_of_lives(shard: int) -> None:
    for seed in range(QUICK + shard, MANY, SHARDS):
        live(seed)


@pytest.mark.soak
def test_it_keeps_them_for_hours() -> None:
    """New lives for so many minutes; a failure names its seed."""
    seed, until = time.time_ns(), time.monotonic() + 60 * float(os.environ.get(MINUTES, "120"))
    while time.monotonic() < until:
        live(seed)
        seed += 1


def test_a_seed_always_tells_the_same_story() -> None:
    """Also in another process, where sets are in another order."""

    def story(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tests.engine.simulation", "--story", "1", "12"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    first = story("1")
    assert first.count("all promises kept") == 12
    assert first == story("2")
