"""Restores from stores that answer late and in any order: right, never stuck, within their memory.

Nothing here waits for a time to pass: answers are held back until others were asked for.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from bench.scattered import memory

from emberkeep.engine.ids import DomainId, RootId
from emberkeep.engine.repository import Repository, Settings
from emberkeep.stores.base import Buffer
from emberkeep.stores.posix import PosixStore
from emberkeep.testing.computed import Compared, Computed
from emberkeep.testing.engine import a_key_manager, a_ledger

KIB = 1 << 10
MIB = 1 << 20
CHUNK = 32 * KIB
GIVE_UP = 60  # seconds without anybody who comes: then a test fails

_NOISE = Random(1).randbytes(MIB)


def chunk(number: int) -> bytes:
    """Bytes that can't be made smaller."""
    begin = number * 7919 % (MIB - CHUNK)
    return number.to_bytes(8, "little") + _NOISE[begin : begin + CHUNK - 8]


# Four chunks in each of 768 leaves, 96 MiB in all: three windows of eight reads each, or so.
VOLUME = Computed(
    768 * 256 * CHUNK,
    [leaf * 256 + slot for leaf in range(768) for slot in (0, 1, 100, 255)],
    chunk,
    piece_size=CHUNK,
)

# Says of those who wait at a gate, numbered as they came, who may pass, if `left` are to come yet.
Rule = Callable[[list[int], int], list[int]]


class Gate:
    """Where threads wait for each other, as a rule has it."""

    def __init__(self, rule: Rule, expected: int) -> None:
        self._rule = rule
        self._left = expected
        self.come = 0
        self._waiting: list[int] = []
        self._condition = threading.Condition()

    def wait(self) -> None:
        with self._condition:
            mine = self.come
            self.come += 1
            self._left -= 1
            self._waiting.append(mine)
            while passing := self._rule(self._waiting, self._left):
                self._waiting = [other for other in self._waiting if other not in passing]
            self._condition.notify_all()
            if not self._condition.wait_for(lambda: mine not in self._waiting, GIVE_UP):
                raise AssertionError(f"stuck: {len(self._waiting)} wait, {self._left} don't come")


def nobody_waits(waiting: list[int], _left: int) -> list[int]:
    return waiting


def drawn_by_lot(together: int, seed: int) -> Rule:
    """One passes whenever so many wait."""
    dice = Random(seed)

    def rule(waiting: list[int], left: int) -> list[int]:
        return [dice.choice(waiting)] if waiting and (len(waiting) >= together or not left) else []

    return rule


def first_comes_last(waiting: list[int], left: int) -> list[int]:
    return [number for number in waiting if number or not left]


class Held:
    """What the threads of a restore hold: what one read last, and what it hands over, in bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._now: dict[int, int] = {}
        self._lock = threading.Lock()

    def read(self, size: int) -> None:
        self._set(size)

    def write(self, size: int) -> None:
        self._set(self._now[threading.get_ident()] + size)
        self._set(self._now[threading.get_ident()] - size)

    def _set(self, size: int) -> None:
        with self._lock:
            self._now[threading.get_ident()] = size
            self.most = max(self.most, sum(self._now.values()))


class SlowStore(PosixStore):
    """A directory with a gate before the answers to all but the thread that made it.

    Those are the reads of chunks; the map is read by who restores.
    """

    def __init__(self, directory: Path, gate: Gate) -> None:
        super().__init__(directory)
        self.held = Held()
        self.gate = gate
        self.asked_by_caller = 0
        self._caller = threading.current_thread()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset=offset, length=length)
        if threading.current_thread() is self._caller:
            self.asked_by_caller += 1
            return data
        self.held.read(len(data))
        self.gate.wait()
        return data


class Watched(Compared):
    """A target that tells what it is given."""

    def __init__(self, held: Held) -> None:
        super().__init__(VOLUME, reads_as_zeros=False)
        self._held = held

    def write(self, offset: int, data: Buffer) -> None:
        self._held.write(len(data))
        super().write(offset, data)


@dataclass(frozen=True)
class Backup:
    """The volume's backup in a directory, and how many reads of chunks its restore takes."""

    directory: Path
    domain: DomainId
    root: RootId
    reads: int = 0

    def restored(self, rule: Rule, *, budget: int = 160 * MIB) -> SlowStore:
        """Restore with the answers held back as the rule says; the target compares the bytes."""
        store = SlowStore(self.directory, Gate(rule, self.reads))
        repository = Repository.open(store, a_key_manager())
        settings = Settings(memory_budget=budget, workers=2)
        repository.restore(self.domain, self.root, Watched(store.held), settings=settings)
        return store


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    directory = tmp_path_factory.mktemp("slow") / "store"
    repository = Repository.create(PosixStore(directory), a_key_manager(), ledger=a_ledger())
    domain = repository.create_domain()
    root = repository.back_up(
        VOLUME, domain=domain, description={}, settings=Settings(chunk_size=CHUNK)
    ).root
    reads = Backup(directory, domain, root).restored(nobody_waits).gate.come
    return Backup(directory, domain, root, reads)


@pytest.mark.parametrize("seed", range(3))
def test_answers_may_come_in_any_order(backup: Backup, seed: int) -> None:
    assert backup.restored(drawn_by_lot(16, seed)).gate.come == backup.reads > 24


def test_a_late_answer_holds_nothing_up_but_itself(backup: Backup) -> None:
    assert backup.restored(first_comes_last).gate.come == backup.reads


def test_the_map_of_768_leaves_is_read_in_pieces_of_256_kib(backup: Backup) -> None:
    # The first segment's nodes lie between its chunks: 128 pieces at most. Then format, keys, root.
    assert backup.restored(nobody_waits).asked_by_caller <= 128 + 10


@pytest.mark.parametrize(("budget", "together"), [(160 * MIB, 16), (40 * MIB, 3), (24 * MIB, 1)])
def test_what_a_restore_holds_stays_within_its_budget(
    backup: Backup, budget: int, together: int
) -> None:
    most = backup.restored(drawn_by_lot(together, 0), budget=budget).held.most
    assert 3 * MIB * together < most <= budget  # and not by reading one after the other


@pytest.mark.parametrize(("budget", "together"), [(160 * MIB, 16), (40 * MIB, 3)])
def test_the_process_of_a_restore_stays_within_its_budget(
    backup: Backup, budget: int, together: int
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from tests.engine.test_slow_stores import child; child()"],
        input=json.dumps(
            [str(backup.directory), backup.domain, backup.root, backup.reads, budget, together]
        ),
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert 0 < int(told.stdout) <= budget


def child() -> None:
    """Restore as standard input says; prints by how many bytes the process grew at most."""
    directory, domain, root, reads, budget, together = json.load(sys.stdin)
    idle = memory("VmRSS")
    backup = Backup(Path(directory), domain, root, reads)
    backup.restored(drawn_by_lot(together, 0), budget=budget)
    print(memory("VmHWM") - idle)
