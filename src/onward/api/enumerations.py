"""The values that a request's type allows at a path, for errors: the decoder names the wrong value, not the right ones.

Runs only where a request is refused. Knows nothing of any one request.
"""

import re
from typing import Final

from msgspec.inspect import CollectionType, DictType, LiteralType, StructType, Type, UnionType, type_info

_STEP: Final = re.compile(r"([^.\[\]]+)|\[[^\]]*\]")


def supported_values(kind: object, path: str) -> tuple[str, ...]:
    """Return the strings that `kind` allows at `path` (`.a.b[0].c`), none where they are not enumerated there."""
    found: list[Type] = [type_info(kind)]
    for step in _STEP.finditer(path):
        found = [below for one in found for below in _below(one, step[1])]
    values = [value for one in found for value in _literals(one)]
    return tuple(value for value in values if isinstance(value, str))


def _members(kind: Type) -> tuple[Type, ...]:
    return kind.types if isinstance(kind, UnionType) else (kind,)


def _below(kind: Type, name: str | None) -> list[Type]:
    """Return the types of the member called `name`, or of what a bracket stands for."""
    found: list[Type] = []
    for one in _members(kind):
        match one:
            case StructType():
                found += [field.type for field in one.fields if field.encode_name == name]
            case DictType():
                found.append(one.value_type)
            case CollectionType():
                found.append(one.item_type)
            case _:
                pass
    return found


def _literals(kind: Type) -> list[object]:
    return [value for one in _members(kind) if isinstance(one, LiteralType) for value in one.values]
