"""The table of routes agrees with the policies and with the documentation."""

import re
from pathlib import Path

from emberkeep.api import policies
from emberkeep.api.routes import ROUTES

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def documented_routes():
    """The rows of the document's table: method, path, since, root of the body."""
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.split("|")]
        if len(cells) == 8 and re.fullmatch("[A-Z]+", cells[1]):
            yield tuple(cells[1:5])


def test_the_documentation_lists_every_route_and_no_other():
    table = []
    for route in ROUTES:
        versioned = route.path.startswith("/v3/") and route.path != "/v3/"
        root = route.schema.root if route.schema else ""
        table.append((route.method, route.path, str(route.since) if versioned else "", root))
    assert list(documented_routes()) == table


def test_every_rule_of_the_table_has_a_policy():
    assert {route.rule for route in ROUTES if route.rule} <= set(policies.RULES)


def test_a_route_stands_in_the_table_once():
    keys = [(route.method, route.path, route.action) for route in ROUTES]
    assert len(keys) == len(set(keys))
