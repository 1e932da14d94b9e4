"""A random life of a repository, against a model that keeps whole images.

`RepositoryMachine` is a hypothesis state machine; what a test may replace with something broken is
a class attribute.
"""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    rule,
)

from emberkeep.engine.protocols import Extent, Target
from emberkeep.engine.repository import Repository, RootId, Settings, Written
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10
MOST = 20 * CHUNK
# Tiny segments, so that a backup has several and a collection something to tell apart.
SETTINGS = Settings(chunk_size=CHUNK, segment_size=3 * CHUNK, workers=2)

sizes = st.one_of(
    st.integers(0, MOST), st.integers(0, MOST // CHUNK).map(lambda chunks: chunks * CHUNK)
)


class RepositoryMachine(RuleBasedStateMachine):
    """Writes, backups with and without base, deletions, collections, restores."""

    make_target: Callable[[Disk], Target] = staticmethod(lambda disk: disk)

    backups = Bundle("backups")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.repository = self.open_repository(self.store)
        self.domain = self.repository.create_domain()
        self.volume = bytearray(5 * CHUNK)
        self.images: dict[RootId, bytes] = {}  # by root: what each backup must restore to
        self.noise = repeatable("noise")

    def open_repository(self, store: MemoryStore) -> Repository:
        return Repository.create(
            store, a_key_manager(), ledger=a_ledger(), random=repeatable("machine")
        )

    @rule(place=st.floats(0, 1), length=st.integers(1, 4 * CHUNK), byte=st.integers(0, 255))
    def fill(self, place: float, length: int, byte: int) -> None:
        self._write(place, bytes([byte]) * length)

    @rule(place=st.floats(0, 1), length=st.integers(1, 3 * CHUNK))
    def scribble(self, place: float, length: int) -> None:
        self._write(place, self.noise(length))

    @rule(first=st.integers(0, MOST // CHUNK), chunks=st.integers(1, 8))
    def punch(self, first: int, chunks: int) -> None:
        begin, end = first * CHUNK, min(len(self.volume), (first + chunks) * CHUNK)
        if begin < end:
            self.volume[begin:end] = bytes(end - begin)

    @rule(size=sizes)
    def resize(self, size: int) -> None:
        if size < len(self.volume):
            del self.volume[size:]
        else:
            self.volume += bytes(size - len(self.volume))

    def _write(self, place: float, data: bytes) -> None:
        start = int(place * len(self.volume))
        data = data[: len(self.volume) - start]
        self.volume[start : start + len(data)] = data

    @rule(target=backups, tells_holes=st.booleans())
    def back_up(self, tells_holes: bool) -> Written:
        return self._back_up(None, tells_holes)

    @rule(target=backups, base=backups, tells_holes=st.booleans())
    def back_up_with_base(self, base: Written, tells_holes: bool) -> Written:
        return self._back_up(base, tells_holes)

    def _back_up(self, base: Written | None, tells_holes: bool) -> Written:
        holes = self._holes() if tells_holes else ()
        written = self.repository.back_up(
            Image(bytes(self.volume), holes=holes),
            domain=self.domain,
            description={},
            base=base.root if base else None,
            settings=SETTINGS,
        )
        self.images[written.root] = bytes(self.volume)
        if base is not None and self.images[base.root] == self.volume:
            assert written.new_chunks == 0
        return written

    def _holes(self) -> tuple[Extent, ...]:
        """Ranges of whole pages that are zero, as a file system would tell them."""
        page, found = 4096, list[Extent]()
        for begin in range(0, len(self.volume), page):
            data = self.volume[begin : begin + page]
            if any(data):
                continue
            if found and found[-1].end == begin:
                found[-1] = Extent(found[-1].offset, found[-1].length + len(data))
            else:
                found.append(Extent(begin, len(data)))
        return tuple(found)

    @rule(written=consumes(backups), then_collect=st.booleans())
    def delete(self, written: Written, then_collect: bool) -> None:
        assert self.repository.delete(self.domain, written.root)
        del self.images[written.root]
        if then_collect:
            self.collect()

    @rule()
    def collect(self) -> None:
        assert sorted(self.repository.roots(self.domain)) == sorted(self.images)
        self.repository.collect(self.domain)
        if not self.images:
            left = [
                *self.store.list(f"d/{self.domain}/s/"),
                *self.store.list(f"d/{self.domain}/h/"),
            ]
            assert left == []

    @rule(written=backups)
    def restore_to_a_new_volume(self, written: Written) -> None:
        self._restore(written, Disk(written.size))

    @rule(written=backups, beyond=st.integers(0, CHUNK))
    def restore_over_a_full_volume(self, written: Written, beyond: int) -> None:
        self._restore(written, Disk(0, content=b"\xff" * (written.size + beyond)))

    def _restore(self, written: Written, disk: Disk) -> None:
        before = bytes(disk.data)
        self.repository.restore(
            self.domain, written.root, self.make_target(disk), sha256=written.sha256
        )
        assert bytes(disk.data) == self.images[written.root] + before[written.size :]

    def teardown(self) -> None:
        for root, image in self.images.items():
            disk = Disk(len(image))
            self.repository.restore(self.domain, root, self.make_target(disk))
            assert bytes(disk.data) == image
