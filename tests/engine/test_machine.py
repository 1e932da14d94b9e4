"""Random lives of a repository, and three planted bugs that they must find."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.engine.machine import RepositoryMachine

from emberkeep.engine import chunks, marks, writer
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.ids import SessionId
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.testing.engine import Disk

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
SHARDS = 8


def lives(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=CHECKS,
        print_blob=True,
    )


@pytest.mark.parametrize("shard", range(4))
def test_a_hundred_lives_of_a_repository(shard: int) -> None:
    machine = type(f"Shard{shard}", (RepositoryMachine,), {})
    run_state_machine_as_test(machine, settings=lives(25))


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_two_thousand_lives_of_a_repository(shard: int) -> None:
    machine = type(f"LongShard{shard}", (RepositoryMachine,), {})
    run_state_machine_as_test(machine, settings=lives(2000 // SHARDS))


def found_by_the_machine(machine: type[RepositoryMachine]) -> bool:
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(lives(500), database=None, derandomize=True, phases=[Phase.generate]),
        )
    except Exception:
        return True
    return False


def test_it_finds_a_restore_that_leaves_old_bytes_where_zeros_belong() -> None:
    class Forgetful(Disk):
        def zero(self, offset: int, length: int) -> None:
            pass

    class Broken(RepositoryMachine):
        @staticmethod
        def make_target(disk: Disk) -> Disk:
            if disk.reads_as_zeros:
                return disk
            forgetful = Forgetful(0)
            forgetful.data, forgetful.reads_as_zeros = disk.data, False
            return forgetful

    assert found_by_the_machine(Broken)


def test_it_finds_a_collector_that_forgets_inherited_segments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgetful(nodes: Nodes, part: Layout, reached: Marks, **rest: Any) -> None:
        found = Marks()
        walk(nodes, part, found, **rest)
        own = SessionId(part.root)
        for seq in found.seqs(own):
            indexes = found.indexes(SegmentId(own, seq))
            reached.add(SegmentId(own, seq), indexes, np.ones(len(indexes), int))

    walk = marks.walk
    monkeypatch.setattr(marks, "walk", forgetful)
    assert found_by_the_machine(RepositoryMachine)


def test_it_finds_a_writer_that_inherits_without_comparing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Trusting(chunks.Worker):
        def find(self, batch: chunks.Batch) -> list[chunks.Found]:
            return [
                chunks.Stored(expected, batch.leaf.base[slot]) if found and expected else found
                for slot, (found, expected) in enumerate(
                    zip(super().find(batch), batch.leaf.expected[batch.first :], strict=False),
                    batch.first,
                )
            ]

    monkeypatch.setattr(writer, "Worker", Trusting)
    assert found_by_the_machine(RepositoryMachine)
