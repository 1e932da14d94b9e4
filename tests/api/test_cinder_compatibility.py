"""The page about differences names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "cinder-compatibility.md"


def test_every_test_that_the_page_names_exists() -> None:
    text = DOCUMENT.read_text()
    functions = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert named <= functions
    files = set(re.findall(r"`(\d\d-[a-z-]+)`", text))
    assert files
    assert files <= {file.stem for file in (TESTS / "api").glob("*.yaml")}


def test_every_row_has_as_many_cells_as_its_head() -> None:
    cells = 0
    for line in DOCUMENT.read_text().splitlines():
        found = line.count("|") - 1 if line.startswith("|") else 0
        assert not (cells and found and cells != found), line
        cells = found
