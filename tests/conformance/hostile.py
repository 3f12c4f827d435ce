"""Requests that no SDK would send: valid bodies with one or two places made hostile, as raw JSON text.

JSON is written by hand, because literals like NaN, lone surrogates, huge numbers and doubled keys are the point.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import strategies as st

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Literal:
    """JSON text that is written as it is."""

    text: str


@dataclass(frozen=True)
class Doubled:
    """An object with its keys twice."""

    members: dict[str, Any]


DEEP = 100_000
LITERALS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1" + "0" * 400,
    "-" + "9" * 5000,
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1.0",
    "-0",
    "0.1e-400",
    r'"\ud800"',
    r'"\udfff\ud800"',
    r'"\u0000"',
    r'"a\u0000b"',
    '"\x00"',
    '"\\ud83d"',
    "[" * DEEP + "]" * DEEP,
    "[" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    '{"type":"and","filters":[' * 500 + "]}" * 500,
    '{"type":"not"}',
    "tru",
    "",
    "\ufeff{}",
    "//",
]
WORDS = [
    "",
    " ",
    "resp_",
    "resp_1",
    "conv_x",
    "msg_1",
    "file-1",
    "vs_1",
    "../../etc/passwd",
    "’ OR 1=1 --",
    "a" * 70,
    "x" * 100_000,
    "\u202e\u0301🤯",
    "user",
    "function_call_output",
    "message",
    "reasoning",
    "item_reference",
    "input_file",
    "input_image",
    "data:;base64,%%%",
    "http://[::1",
    "auto",
    "json_schema",
    "eq",
    "in",
    "and",
]

leaves = st.one_of(
    st.sampled_from([Literal(text) for text in LITERALS]),
    st.sampled_from(WORDS),
    st.sampled_from([None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 0.5, -0.0, 1e308]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=8) | st.sampled_from(["type", "id", "role", "content"]), inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, min_size=1, max_size=3).map(Doubled),
    ),
    max_leaves=6,
)


def written(value: Any) -> str:
    """Return a value as JSON text, hostile parts as they are."""
    match value:
        case Literal(text):
            return text
        case Doubled(members):
            pairs = [f"{json.dumps(key)}:{written(member)}" for key, member in members.items()]
            return "{" + ",".join(pairs * 2) + "}"
        case dict():
            members = cast("dict[str, Any]", value).items()
            return "{" + ",".join(f"{json.dumps(key)}:{written(member)}" for key, member in members) + "}"
        case list():
            return "[" + ",".join(map(written, cast("list[Any]", value))) + "]"
        case _:
            return json.dumps(value)


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Yield the place of every part of a body."""
    yield here
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        pairs = list(cast("dict[str | int, Any]", value).items())
    elif isinstance(value, list):
        pairs = list(enumerate(cast("list[Any]", value)))
    for key, member in pairs:
        yield from places(member, (*here, key))


@st.composite
def spoiled(draw: st.DrawFn, template: Any) -> bytes:
    """Draw a body: `template` with up to two places replaced, removed or added to."""
    body = copy.deepcopy(template)
    for _ in range(draw(st.integers(1, 2))):
        body = _spoil(draw, body)
    return written(body).encode(errors="surrogatepass")


def _spoil(draw: st.DrawFn, body: Any) -> Any:
    found = [place for place in places(body) if place]
    if not found:
        return draw(values)
    *way, last = draw(st.sampled_from(found))
    parent = body
    for key in way:
        parent = parent[key]
    match draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"])):
        case "remove":
            del parent[last]
        case "add" if isinstance(parent, dict):
            parent[draw(st.text(max_size=10))] = draw(values)
        case "add":
            parent.insert(0, draw(values))
        case _:
            parent[last] = draw(values)
    return body
