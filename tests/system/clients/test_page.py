"""The page and the tests that see what it shows belong together."""

import re
from pathlib import Path

from tests.system.clients.page import PAGE, Listing, listings

HERE = Path(__file__).parent


def test_each_listing_of_the_page_is_of_a_test() -> None:
    places = re.findall(r"^<!-- seen by (\S+) -->$", PAGE.read_text(), re.MULTILINE)
    assert len(places) == len(set(places))
    assert set(places) == set(listings())  # none is empty
    for place in places:
        file, _, test = place.partition("::")
        assert f"\ndef {test}(" in (HERE / file).read_text(), place


def test_what_differs_from_run_to_run_looks_the_same() -> None:
    def seen(volume: str, backup: str, time: str, port: str) -> str:
        listing = Listing("a test")
        listing.add(f"cinder backup-show {backup}", f"| restore_backup_{backup} | {time} |")
        listing.add(f"cinder backup-create {volume}", f"http://127.0.0.1:{port}/v3\n")
        return listing.text

    one = seen(
        "5e851e08-3d6f-46cf-8343-71edee572b0a",
        "ffbb8af0-2cae-43fb-a7f7-c340e35f7360",
        "2026-11-22T23:45:28.074493",
        "40001",
    )
    two = seen(
        "b7b8b79c-4d08-4ff9-9c3f-5d9c0d2ee1a1",
        "0bd55f9e-7d5c-4b25-8f3a-0e4b3a3b2c11",
        "2031-01-02T03:04:05.000000",
        "8776",
    )
    assert one == two
    id_of_backup = one.split()[3]
    assert f"restore_backup_{id_of_backup}" in one
    assert one.split()[-2] != id_of_backup


def test_a_table_is_as_wide_as_it_has_to_be() -> None:
    listing = Listing("a test")
    listing.hide("-0123abcd", "")
    table = [
        "+------------+",
        "| Name       |",
        "+------------+",
        "| m-0123abcd |",
        "+------------+",
    ]
    listing.add("openstack list", "\n".join(table))
    assert listing.text == ("$ openstack list\n+------+\n| Name |\n+------+\n| m    |\n+------+\n")
