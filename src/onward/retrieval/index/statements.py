"""SQL as assets: named statements of the files in ``sql/``.

It runs nothing.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def read_sql(file: str) -> str:
    """Return the text of ``sql/<file>.sql``."""
    return (_FOLDER / f"{file}.sql").read_text()


@cache
def _statements(file: str) -> dict[str, str]:
    parts = _NAME.split(read_sql(file))
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def statement(name: str) -> str:
    """Return the statement ``file.name``; raises KeyError where there is none."""
    file, _, key = name.partition(".")
    return _statements(file)[key]
