"""The title of a file as search knows it: its name as words. Part of a document's identity."""

from __future__ import annotations

import re
from pathlib import PurePath

_JOINTS = re.compile(r"[-_.+\s]+")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
MAX_TITLE = 200


def clean_title(filename: str) -> str:
    """Return ``Refund-Policy_v2.pdf`` as ``Refund Policy v2``."""
    stem = PurePath(filename.replace("\\", "/")).stem
    return _JOINTS.sub(" ", _HUMPS.sub(" ", stem)).strip()[:MAX_TITLE]
