"""The part of Dataloop's query language that dtlpy writes for us (entities/filters.py, Filters.prepare)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

Json = dict[str, Any]

# entities/filters.py: FiltersOperations, spelt with a $ by SingleFilter.prepare.
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, wanted: _equal(value, wanted),
    "$ne": lambda value, wanted: not _equal(value, wanted),
    "$in": lambda value, wanted: any(_equal(value, one) for one in wanted),
    "$nin": lambda value, wanted: not any(_equal(value, one) for one in wanted),
    "$exists": lambda value, wanted: (value is not None) == wanted,
    "$gt": lambda value, wanted: value is not None and value > wanted,
    "$gte": lambda value, wanted: value is not None and value >= wanted,
    "$lt": lambda value, wanted: value is not None and value < wanted,
    "$lte": lambda value, wanted: value is not None and value <= wanted,
}


def matches(entry: Json, query: Json) -> bool:
    """Whether an object is meant by the ``filter`` of a query. KeyError names an operator that is not known here."""
    for field, wanted in query.items():
        if field == "$and":
            if not all(matches(entry, part) for part in wanted):
                return False
        elif field == "$or":
            if not any(matches(entry, part) for part in wanted):
                return False
        elif isinstance(wanted, dict):
            value = value_at(entry, field)
            if not all(_COMPARISONS[operator](value, other) for operator, other in wanted.items()):
                return False
        elif not _equal(value_at(entry, field), wanted):
            return False
    return True


def value_at(entry: Json, path: str) -> Any:
    """The value at a path with dots, None where there is none."""
    value: Any = entry
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def page(entries: Iterable[Json], body: Json) -> Json:
    """One page of a listing, as entities/paged_entities.py (PagedEntities.process_result) reads it."""
    found = list(entries)
    for field, order in reversed(list(body.get("sort", {}).items())):
        found.sort(key=lambda entry: value_at(entry, field), reverse=order == "descending")
    size, number = body.get("pageSize", 100), body.get("page", 0)
    pages = -(-len(found) // size) if size else 0
    return {
        "items": found[number * size : (number + 1) * size],
        "totalItemsCount": len(found),
        "totalPagesCount": pages,
        "hasNextPage": number + 1 < pages,
    }


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and isinstance(value, str) and "*" in wanted:
        # "/a/**" and "/a*" of a file name or a folder: either covers all that is under it.
        return fnmatchcase(value, wanted.replace("**", "*"))
    if isinstance(value, list) and not isinstance(wanted, list):
        return wanted in value
    return bool(value == wanted)
