"""The query string of a list, parameter by parameter; whole lists are in test_backups_list.py."""

import pytest

from emberkeep.api import listing
from emberkeep.api.faults import BadRequest
from emberkeep.api.listing import Paging, Parameters

LARGEST = 1000


def told(take, *arguments):
    with pytest.raises(BadRequest) as refused:
        take(*arguments)
    return str(refused.value)


@pytest.mark.parametrize(
    ("query", "paging"),
    [
        ([], Paging(1000, None, 0)),
        ([("limit", "2")], Paging(2, None, 0)),
        ([("limit", "0")], Paging(0, None, 0)),
        ([("limit", "+2")], Paging(2, None, 0)),
        ([("limit", " 2 ")], Paging(2, None, 0)),
        ([("limit", "1001")], Paging(1000, None, 0)),
        ([("limit", "9" * 5000)], Paging(1000, None, 0)),
        ([("marker", "x"), ("offset", "2147483647")], Paging(1000, "x", 2147483647)),
    ],
)
def test_a_page(query, paging):
    assert listing.take_paging(Parameters(query), LARGEST) == paging


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ([("limit", "")], "limit param must be an integer"),
        ([("limit", "x")], "limit param must be an integer"),
        ([("limit", "1.5")], "limit param must be an integer"),
        ([("limit", "-1")], "limit param must be positive"),
        ([("limit", "-" + "9" * 5000)], "limit param must be positive"),
        ([("offset", "")], "offset must be an integer"),
        ([("offset", "-1")], "offset must be >= 0"),
        ([("offset", "2147483648")], "offset must be <= 2147483647"),
        ([("offset", "x"), ("limit", "y")], "limit param must be an integer"),
    ],
)
def test_a_page_that_there_cannot_be(query, words):
    assert told(listing.take_paging, Parameters(query), LARGEST) == words


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ([], (("created_at", "desc"),)),
        ([("sort", "name")], (("name", "desc"),)),
        ([("sort", "name:")], (("name", "desc"),)),
        ([("sort", " name : asc , id ")], (("name", "asc"), ("id", "desc"))),
        ([("sort", "a:asc:desc")], (("a", "asc:desc"),)),
        ([("sort", "")], (("", "desc"),)),
        ([("sort_key", "size")], (("size", "desc"),)),
        ([("sort_dir", "asc")], (("created_at", "asc"),)),
        ([("sort_key", "size,id"), ("sort_dir", "asc")], (("size,id", "asc"),)),
    ],
)
def test_an_order(query, sort):
    assert listing.take_sort(Parameters(query)) == sort


@pytest.mark.parametrize("legacy", ["sort_key", "sort_dir"])
def test_the_two_ways_to_ask_for_an_order_do_not_mix(legacy):
    parameters = Parameters([("sort", "id"), (legacy, "asc")])
    assert told(listing.take_sort, parameters) == (
        "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with "
        "the 'sort' parameter."
    )


@pytest.mark.parametrize("direction", ["ASC", "up", "asc:desc"])
def test_a_direction_is_asc_or_desc(direction):
    assert told(listing.check_directions, (("id", direction),)) == (
        "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."
    )


def test_of_a_parameter_given_twice_the_second_stays_behind():
    parameters = Parameters([("limit", "1"), ("limit", "2")])
    assert listing.take_paging(parameters, LARGEST).limit == 1
    assert parameters.values == {"limit": "2"}


def test_a_filter_given_twice_is_doubled():
    given = Parameters([("name", "a"), ("name", "b"), ("status", "error")])
    filters = listing.filters(given, {"name": "display_name"})
    assert filters.doubled == {"display_name"}
