"""Query strings: pages, bracketed arrays and flags, with the API's limits and errors."""

from typing import Final, Literal

from starlette.datastructures import QueryParams

from onward.api.errors import invalid_value, out_of_range
from onward.core.errors import RequestError
from onward.ports.runs import Page

DEFAULT_LIMIT: Final = 20
MAX_DIGITS: Final = 200


def integer(query: QueryParams, name: str, default: int, *, low: int, high: int) -> int:
    """Return an integer parameter within `low`..`high`. Raises RequestError."""
    raw = query.get(name)
    return default if raw is None or raw == "" else parse_integer(raw, name, low=low, high=high)


def parse_integer(raw: str, name: str, *, low: int, high: int) -> int:
    """Return the integer that `raw` writes, within `low`..`high`. Raises RequestError."""
    digits = raw.removeprefix("-")
    if not digits.isdigit() or not raw.isascii():
        raise RequestError(
            f"Invalid type for '{name}': expected an integer, but got a string instead.",
            param=name,
            code="invalid_type",
        )
    # Cut, an integer of more digits than any limit has is as far out of range, and Python refuses thousands of them.
    value = int(digits.lstrip("0")[:MAX_DIGITS] or "0") * (-1 if raw.startswith("-") else 1)
    if not low <= value <= high:
        raise out_of_range(name, value, low=low, high=high)
    return value


def flag(query: QueryParams, name: str, *, default: bool = False) -> bool:
    """Return a boolean parameter. Raises RequestError."""
    raw = query.get(name)
    if raw is None or raw == "":
        return default
    if raw.lower() not in ("true", "false", "1", "0"):
        raise invalid_value(name, raw, ("true", "false"))
    return raw.lower() in ("true", "1")


def array(query: QueryParams, name: str) -> tuple[str, ...]:
    """Return an array parameter: `name=a&name=b`, `name[]=a` and `name[0]=a` mean the same."""
    found = [*query.getlist(name), *query.getlist(f"{name}[]")]
    prefix = f"{name}["
    found += [value for key, value in query.multi_items() if key.startswith(prefix) and key[len(prefix) : -1].isdigit()]
    return tuple(found)


def pairs(query: QueryParams, name: str) -> dict[str, str]:
    """Return the pairs of an object parameter, as in `name[key]=value`."""
    prefix = f"{name}["
    return {
        key[len(prefix) : -1]: value
        for key, value in query.multi_items()
        if key.startswith(prefix) and key.endswith("]")
    }


def page(
    query: QueryParams, *, order: Literal["asc", "desc"] = "desc", limit: int = DEFAULT_LIMIT, maximum: int = 100
) -> Page:
    """Return the page that a query asks for. Raises RequestError for a limit or an order outside the contract."""
    wanted = query.get("order") or order
    if wanted not in ("asc", "desc"):
        raise invalid_value("order", wanted, ("asc", "desc"))
    return Page(
        limit=integer(query, "limit", limit, low=1, high=maximum),
        order=wanted,
        after=query.get("after") or None,
        before=query.get("before") or None,
    )
