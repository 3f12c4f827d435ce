"""Fields that several vector store requests share: chunking strategies, attributes, expiry."""

import math
from typing import Final, Literal

import msgspec

from onward.api.errors import invalid_value, missing_parameter, out_of_range, too_long
from onward.core.errors import RequestError
from onward.ports.filters import Attributes
from onward.ports.parse import Recipe

MAX_ATTRIBUTES: Final = 16
MAX_ATTRIBUTE_KEY: Final = 256
"""The specification says 64, the guide 256: the larger is accepted."""
MAX_ATTRIBUTE_STRING: Final = 512
MAX_DAYS: Final = 365


class StaticSizes(msgspec.Struct, frozen=True):
    """Sizes of the `static` strategy, in tokens."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class Strategy(msgspec.Struct, frozen=True):
    """A chunking strategy as it is sent."""

    type: Literal["auto", "static"]
    static: StaticSizes | None = None


class StaticStrategy(msgspec.Struct, frozen=True):
    """A chunking strategy as it is shown: `auto` is shown as what it stands for."""

    static: StaticSizes
    type: Literal["static"] = "static"


class ExpiresAfter(msgspec.Struct, frozen=True):
    """When a vector store expires."""

    anchor: str
    days: int


def recipe_of(strategy: Strategy | None, *, param: str = "chunking_strategy") -> Recipe:
    """Return how a strategy cuts text. Raises RequestError for sizes outside the contract."""
    if strategy is None or strategy.type == "auto":
        return Recipe()
    sizes = strategy.static
    if sizes is None:
        raise missing_parameter(f"{param}.static")
    size, overlap = sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens
    if not 100 <= size <= 4096:
        raise out_of_range(f"{param}.static.max_chunk_size_tokens", size, low=100, high=4096)
    if overlap < 0:
        raise out_of_range(f"{param}.static.chunk_overlap_tokens", overlap, low=0)
    if overlap > size // 2:
        raise RequestError(
            f"Invalid '{param}.static.chunk_overlap_tokens': must not exceed half of 'max_chunk_size_tokens' "
            f"({size // 2}), but got {overlap} instead.",
            param=f"{param}.static.chunk_overlap_tokens",
            code="invalid_value",
        )
    return Recipe(size, overlap)


def strategy_of(recipe: Recipe) -> StaticStrategy:
    """Return the wire form of how a file was cut."""
    return StaticStrategy(StaticSizes(recipe.max_tokens, recipe.overlap_tokens))


def check_attributes(raw: dict[str, object] | None, *, param: str = "attributes") -> Attributes:
    """Return attributes within the limits of the contract. Raises RequestError."""
    if not raw:
        return {}
    if len(raw) > MAX_ATTRIBUTES:
        raise too_long(param, len(raw), maximum=MAX_ATTRIBUTES, kind="object")
    return {_key(key, param): _value(value, f"{param}.{key[:64]}") for key, value in raw.items()}


def _key(key: str, param: str) -> str:
    if len(key) > MAX_ATTRIBUTE_KEY:
        raise too_long(f"{param}.{key[:64]}", len(key), maximum=MAX_ATTRIBUTE_KEY)
    return key


def _value(value: object, param: str) -> str | float | bool:
    match value:
        case bool():
            return value
        case str():
            if len(value) > MAX_ATTRIBUTE_STRING:
                raise too_long(param, len(value), maximum=MAX_ATTRIBUTE_STRING)
            return value
        case int() | float():
            return _number(value, param)
        case _:
            raise RequestError(
                f"Invalid type for '{param}': expected a string, a number or a boolean.",
                param=param,
                code="invalid_type",
            )


def _number(value: float, param: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise invalid_value(param, "a number that is too large")
    return number


def shown_attributes(attributes: Attributes) -> dict[str, str | float | bool]:
    """Return attributes for the wire: whole numbers as they were sent, without a fraction."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
        for key, value in attributes.items()
    }


def days_of(expiry: ExpiresAfter) -> int:
    """Return the days of an expiry. Raises RequestError."""
    if expiry.anchor != "last_active_at":
        raise invalid_value("expires_after.anchor", expiry.anchor, ("last_active_at",))
    if not 1 <= expiry.days <= MAX_DAYS:
        raise out_of_range("expires_after.days", expiry.days, low=1, high=MAX_DAYS)
    return expiry.days
