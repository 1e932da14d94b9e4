from pathlib import Path

import pytest

from emberkeep.stores.base import Store
from emberkeep.stores.memory import MemoryStore
from emberkeep.stores.open import open_store
from emberkeep.testing.stores import StoreConformance


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestPosix(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store((tmp_path / "with space").as_uri())
