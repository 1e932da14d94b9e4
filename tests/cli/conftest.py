from pathlib import Path

import pytest
from tests.cli.tool import MIB, Tool, an_image


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """A new repository."""
    made = Tool(tmp_path)
    made.output("init")
    return made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return an_image(tmp_path / "disk.raw", 2 * MIB + 1000)
