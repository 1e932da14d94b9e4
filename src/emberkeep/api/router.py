"""From a method and a path to the rows of the table.

A literal segment goes before a variable one, so `/backups/detail` is no id.  A path of v3 may carry
the project after `/v3`, and `.json` at its end.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emberkeep.api.routes import Route
from emberkeep.api.validation import is_canonical_uuid


@dataclass(frozen=True, slots=True)
class Match:
    """What a request's path names: one row, or several that differ by their action."""

    routes: tuple[Route, ...]
    parameters: Mapping[str, str]
    project: str | None

    @property
    def by_action(self) -> bool:
        return self.routes[0].action is not None


class Router:
    """Finds rows; built once, asked by many threads."""

    def __init__(self, routes: Iterable[Route], project_id_regex: str) -> None:
        rows: dict[tuple[str, str], list[Route]] = defaultdict(list)
        for route in routes:
            rows[route.method, route.path].append(route)
        self._rows = {key: _same_place(found) for key, found in rows.items()}
        patterns = {path: tuple(path.split("/")) for _, path in rows}
        self._patterns = sorted(patterns.values(), key=_literal_first)
        self._collections = {
            parts[2] for parts in self._patterns if parts[1] == "v3" and len(parts) > 2
        }
        self._project = re.compile(project_id_regex)

    def find(self, method: str, path: str) -> Match | None:
        """The rows for the path, or None: an unknown route."""
        segments = path.split("/")
        project = None
        if segments[1] == "v3" and len(segments) > 2 and segments[2]:
            if segments[2] not in self._collections and self._project.fullmatch(segments[2]):
                project = segments.pop(2)
            segments[-1] = segments[-1].removesuffix(".json")
            if len(segments) < 3 or not segments[-1]:
                return None
        return self._row(method, segments, project)

    def _row(self, method: str, segments: list[str], project: str | None) -> Match | None:
        for pattern in self._patterns:
            routes = self._rows.get((method, "/".join(pattern)))
            if routes is None or len(pattern) != len(segments):
                continue
            pairs = list(zip(pattern, segments, strict=True))
            if all(_fits(part, segment) for part, segment in pairs):
                named = {part[1:-1]: segment for part, segment in pairs if _is_variable(part)}
                return Match(routes, named, project)
        return None


def _same_place(routes: list[Route]) -> tuple[Route, ...]:
    if len(routes) > 1 and not all(route.action for route in routes):
        routes = routes[:1]  # a row of the table goes before what every resource has
    return tuple(routes)


def _literal_first(pattern: tuple[str, ...]) -> list[bool]:
    return [_is_variable(part) for part in pattern]


def _is_variable(part: str) -> bool:
    return part.startswith("{")


def _fits(part: str, segment: str) -> bool:
    match part:
        case "{uuid}":
            return is_canonical_uuid(segment)
        case _ if _is_variable(part):
            return segment != ""
    return part == segment
