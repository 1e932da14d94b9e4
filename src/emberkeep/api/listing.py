"""The query string of a list: paging, sorting, counting and filters, and the link to the next page.

`Parameters` are taken one by one, in Cinder's order; what is left over are filters.  Of a
parameter given twice the first is taken, and the second stays behind as a filter of its name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from emberkeep.api.context import Call
from emberkeep.api.faults import BadRequest
from emberkeep.api.microversions import MIN, Microversion, v3
from emberkeep.api.validation import boolean, boolean_word
from emberkeep.db.paging import Query

LARGEST_OFFSET = 2147483647
COUNTING = v3(45)
STRICT_FILTERS = v3(31)
LIKE_FILTERS = v3(34)

Sort = tuple[tuple[str, str], ...]


class Parameters:
    """What is left of a query string."""

    def __init__(self, query: Iterable[tuple[str, str]]) -> None:
        self._items = list(query)

    def take(self, name: str) -> str | None:
        """The first value of that name, which is then gone; None if there is none."""
        for at, (key, value) in enumerate(self._items):
            if key == name:
                del self._items[at]
                return value
        return None

    def drop(self, name: str) -> None:
        self._items = [item for item in self._items if item[0] != name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self._items)

    @property
    def names(self) -> list[str]:
        return [key for key, _ in self._items]

    @property
    def values(self) -> dict[str, str]:
        return dict(self._items)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list: at most `limit` rows after `marker`, `offset` rows skipped."""

    limit: int
    marker: str | None
    offset: int


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows must have: values that are equal, and those that contain another (`key~`).

    Of a column in `doubled` two values were asked for, which no row has.
    """

    equal: dict[str, str]
    like: dict[str, str]
    doubled: frozenset[str] = frozenset()


def take_paging(parameters: Parameters, largest: int) -> Paging:
    limit = take_limit(parameters, largest)
    marker = parameters.take("marker")
    return Paging(limit, marker, _offset(parameters.take("offset")))


def take_limit(parameters: Parameters, largest: int) -> int:
    return _limit(parameters.take("limit"), largest)


def _limit(text: str | None, largest: int) -> int:
    if text is None:
        return largest
    limit = _integer(text)
    if limit is None:
        raise BadRequest("limit param must be an integer")
    if limit < 0:
        raise BadRequest("limit param must be positive")
    return min(limit, largest)


def _offset(text: str | None) -> int:
    if text is None:
        return 0
    offset = _integer(text)
    if offset is None:
        raise BadRequest("offset must be an integer")
    if offset < 0:
        raise BadRequest("offset must be >= 0")
    if offset > LARGEST_OFFSET:
        raise BadRequest(f"offset must be <= {LARGEST_OFFSET}")
    return offset


def _integer(text: str) -> int | None:
    """The number; one of more digits than `int` reads becomes a large one of its sign."""
    try:
        return int(text)
    except ValueError:
        digits = text.strip().lstrip("+-")
        if len(digits) > 1000 and digits.isdecimal():
            return -(2**63) if text.strip().startswith("-") else 2**63
        return None


def take_sort(parameters: Parameters) -> Sort:
    """The keys and directions, neither checked yet."""
    if "sort" in parameters and ("sort_key" in parameters or "sort_dir" in parameters):
        raise BadRequest(
            "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with "
            "the 'sort' parameter."
        )
    sort = parameters.take("sort")
    if sort is None:
        key, direction = parameters.take("sort_key"), parameters.take("sort_dir")
        return ((_or(key, "created_at"), _or(direction, "desc")),)
    pairs = (item.partition(":") for item in sort.split(","))
    return tuple((key.strip(), direction.strip() or "desc") for key, _, direction in pairs)


def _or(value: str | None, default: str) -> str:
    return default if value is None else value.strip()


def check_directions(sort: Sort) -> None:
    if any(direction not in ("asc", "desc") for _, direction in sort):
        raise BadRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")


def take_with_count(parameters: Parameters, call: Call) -> bool:
    """Whether the total is asked for; before 3.45 the parameter is nothing special."""
    if call.version < COUNTING or "with_count" not in parameters:
        return False
    text = parameters.values["with_count"]  # given twice, the last counts, and one stays behind
    parameters.take("with_count")
    return boolean("with_count", text)


def check_filters(
    parameters: Parameters, call: Call, *, always: Sequence[str], allowed: Sequence[str]
) -> None:
    """Drop what the caller's version ignores and refuse what it does not allow.

    Members filter by the names in `always` before 3.31, by those in `allowed` from there on; an
    admin by any column.
    """
    strict = call.version >= STRICT_FILTERS
    if strict and not all(name.isascii() for name in parameters.names):
        raise BadRequest("Filter keys can only contain ASCII characters.")
    if call.caller.is_admin:
        if not strict:
            parameters.drop("name~")
        return
    if not strict:
        _drop_all(parameters, [name for name in parameters.names if name not in always])
        return
    known = _allowed(allowed, like=call.version >= LIKE_FILTERS)
    unknown = [name for name in parameters.names if name not in known]
    if "all_tenants" in unknown:
        unknown.remove("all_tenants")  # forgiven, once
    if unknown:
        raise BadRequest(f"Invalid filters {','.join(unknown)} are found in query options.")


def _allowed(configured: Sequence[str], *, like: bool) -> set[str]:
    exact = {name.removesuffix("~") for name in configured}
    return exact | ({name for name in configured if name.endswith("~")} if like else set())


def _drop_all(parameters: Parameters, names: Sequence[str]) -> None:
    for name in names:
        if name != "all_tenants":
            parameters.drop(name)


def read_all_tenants(text: str) -> bool:
    """Whether every project's rows are meant.  Raises `BadRequest`."""
    word = boolean_word(text)
    if word is None:
        raise BadRequest(f"all_tenants must be a boolean, got '{text}'.")
    return word


def take_all_tenants(
    parameters: Parameters, call: Call, read: Callable[[str], bool] = read_all_tenants
) -> bool:
    """Whether an admin asks for every project's rows; nobody else can."""
    if not call.caller.is_admin:
        parameters.drop("all_tenants")
        return False
    text = parameters.take("all_tenants")
    return text is not None and read(text)


def filters(parameters: Parameters, columns: Mapping[str, str]) -> Filters:
    """What is left, as filters; `columns` are those with another name in the API."""
    names = parameters.names
    equal: dict[str, str] = {}
    like: dict[str, str] = {}
    for name, value in parameters.values.items():
        bare = name.removesuffix("~")
        (like if name.endswith("~") else equal)[columns.get(bare, bare)] = value
    doubled = {columns.get(n.removesuffix("~"), n) for n in names if names.count(n) > 1}
    return Filters(equal, like, frozenset(doubled))


@dataclass(frozen=True, slots=True)
class Listable:
    """What a resource's list may be asked for.

    `columns` are the table's, `renamed` those with another name in the API.  Members filter by the
    names in `always` before 3.31, by those in `allowed` from there on; `rule` is the list's policy,
    if it has one, `all_tenants` what an admin's `all_tenants` means, `counts` whether it counts.
    """

    rule: str | None
    columns: frozenset[str]
    renamed: Mapping[str, str]
    always: tuple[str, ...]
    allowed: tuple[str, ...]
    name_sorts_since: Microversion = MIN
    all_tenants: Callable[[str], bool] = read_all_tenants
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list was asked for; `sort` names columns, but perhaps some that there are not."""

    paging: Paging
    sort: Sort
    filters: Filters
    all_tenants: bool
    with_count: bool

    def matches_nothing(self, columns: frozenset[str]) -> bool:
        """Whether no row can pass the filters: then nothing else that is asked for matters."""
        named = {*self.filters.equal, *self.filters.like}
        return bool(self.filters.doubled or named - columns)


def wanted(call: Call, of: Listable, *, largest: int) -> Wanted:
    """Read the whole query string.  The order of the steps is Cinder's.

    Raises `BadRequest`, and `PolicyNotAuthorized` where the list is not for the caller.
    """
    parameters = Parameters(call.query)
    paging = take_paging(parameters, largest)
    sort = take_sort(parameters)
    with_count = of.counts and take_with_count(parameters, call)
    check_filters(parameters, call, always=of.always, allowed=of.allowed)
    if of.rule is not None:
        call.caller.authorize(of.rule, None)
    all_tenants = take_all_tenants(parameters, call, of.all_tenants)
    check_directions(sort)
    renamed = of.renamed if call.version >= of.name_sorts_since else {}
    return Wanted(
        paging=paging,
        sort=tuple((_column(renamed.get(key, key), of), direction) for key, direction in sort),
        filters=filters(parameters, of.renamed),
        all_tenants=all_tenants,
        with_count=with_count,
    )


def _column(key: str, of: Listable) -> str:
    """The key, or one that no table has in the place of a column that clients don't know."""
    return key if key in of.columns else ""


def query_for(call: Call, asked: Wanted) -> Query:
    """The same as the tables of volumes and snapshots take it."""
    everywhere = asked.all_tenants and call.caller.is_admin
    equal = dict(asked.filters.equal)
    if not everywhere:
        equal.pop("project_id", None)
    return Query(
        project_id=None if everywhere else call.caller.project_id,
        limit=asked.paging.limit,
        marker=asked.paging.marker,
        offset=asked.paging.offset,
        sort=tuple((key, direction == "asc") for key, direction in asked.sort),
        filters=equal,
        like=asked.filters.like,
        marker_project_id=call.caller.sees,
    )


def document(
    call: Call,
    asked: Wanted,
    path: tuple[str, ...],
    items: Sequence[Mapping[str, Any]],
    count: int | None,
) -> dict[str, Any]:
    """The reply: the items under the collection's name, the link, the count."""
    collection = path[0]
    answer: dict[str, Any] = {collection: items}
    ids = [item["id"] for item in items]
    link = next_link(call, path, limit=asked.paging.limit, count=count, ids=ids)
    if link is not None:
        answer[f"{collection}_links"] = link
    if count is not None:
        answer["count"] = count
    return answer


def next_link(
    call: Call, path: tuple[str, ...], *, limit: int, count: int | None, ids: Sequence[str]
) -> list[dict[str, str]] | None:
    """The link to the page after the one with these `ids`; None where Cinder has none."""
    if not ids or limit > (len(ids) if count is None else count):
        return None
    query = [(key, value) for key, value in call.query if key != "marker"]
    href = f"{call.place.href(*path)}?{urlencode([*query, ('marker', ids[-1])])}"
    return [{"rel": "next", "href": href}]


def flag(call: Call, name: str) -> bool:
    """A boolean of the query string, false if it is not there.  Raises `BadRequest`."""
    text = dict(call.query).get(name)
    return text is not None and boolean(name, text)
