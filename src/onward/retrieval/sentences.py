"""Where sentences and paragraphs end, in Latin and CJK scripts: one rule for chunks, citations and extracts.

It knows text alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SENTENCE, LINE, PARAGRAPH, HEADING = 1, 2, 3, 4
"""How strong the boundary before an atom is."""

_BREAK = re.compile(
    r"""(?P<paragraph>\n[ \t]*\n\s*)
      | (?P<line>\n[ \t]*)
      | (?P<cjk>[。！？；]+["'”’」』）】]*[ \t]*)
      | (?P<latin>[.!?…]+["'”’)\]»]*[ \t]+
          (?=["'“‘(\[«*_]*[A-Z0-9À-ÞĀ-ſΑ-ΩА-Я\u0590-\u08ff\u0900-\u0dff\u3040-\u9fff\uac00-\ud7af¿¡]))
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“])(?:[A-Z]|[A-Z]\.[A-Z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|e\.g|i\.e|cf|No|Nr|Fig|Vol|Art|Sec"
    r"|approx|Inc|Ltd|Co|Corp|dept|est|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|z\.B|bzw|ca|usw|Abs|Str|p|pp|al)$"
)


WRAPPED_LINE = 50
"""Characters from which a line that ends without punctuation counts as wrapped: its sentence goes on in the next."""
_ENDS = frozenset(".!?:;|。！？；：…")
_MARKER = re.compile(r"[-*+#|>•=`~]|\d{1,3}[.)]\s")
"""How a line begins that does not go on with the one before: lists, headings, tables, quotes, fences."""


class Atom(NamedTuple):
    """A sentence or line with its trailing blanks; ``strength`` is the boundary before it."""

    start: int
    end: int
    strength: int


def split_atoms(text: str, *, offset: int = 0) -> list[Atom]:
    """Cut text into sentences and lines that cover it without gaps; offsets are shifted by ``offset``."""
    atoms: list[Atom] = []
    start, strength = 0, PARAGRAPH
    for match in _BREAK.finditer(text):
        kind = match.lastgroup
        if kind == "latin" and _ABBREVIATION.search(text, max(start, match.start() - 12), match.start()):
            continue
        if kind == "line" and _is_wrapped(text, match):
            continue
        atoms.append(Atom(offset + start, offset + match.end(), strength))
        start = match.end()
        strength = PARAGRAPH if kind == "paragraph" else LINE if kind == "line" else SENTENCE
    if start < len(text):
        atoms.append(Atom(offset + start, offset + len(text), strength))
    return atoms


def _is_wrapped(text: str, match: re.Match[str]) -> bool:
    begin = text.rfind("\n", 0, match.start()) + 1
    line = text[begin : match.start()].rstrip()
    return len(line) >= WRAPPED_LINE and line[-1] not in _ENDS and not _MARKER.match(text, match.end())
