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

_TERMINAL = re.compile(r"""[.!?…:;。！？；：]["'”’)\]»*_]*\s*$""")
_ITEM = re.compile(r"[-*+•▪‣–—|>#~`=\t]|\d{1,3}[.)]\s|[a-z][.)]\s|\s")
"""How a line begins that does not go on with the one before: lists, headings, tables, quotes, fences."""
_CODE = re.compile(r"[={}<>;]|\w\(")
_TABLE = re.compile(r"[|\t]|,[^\s\d]")
WRAPPED = 50
"""Characters from which a line without an end mark is taken for one that was wrapped by an editor."""


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


def _is_wrapped(text: str, newline: re.Match[str]) -> bool:
    """Say whether a line end only wraps a sentence: the line is prose without an end mark, and goes on in the next.

    A long line does; a short one where the next begins with a small letter or, after a word, with a number.
    """
    line = text[text.rfind("\n", 0, newline.start()) + 1 : newline.start()].rstrip()
    if newline.end() - newline.start() > 1 or _TABLE.search(line) or _ITEM.match(text, newline.end()):
        return False
    if _TERMINAL.search(line) or line.lstrip().startswith("#"):
        return False
    blanks = line.count(" ")
    if len(line) >= WRAPPED and blanks >= len(line) // 16:
        return True
    following = text[newline.end() : newline.end() + 40]
    goes_on = following[:1].islower() or (following[:1].isdigit() and line[-1:].isalpha())
    return goes_on and blanks >= 1 and not _CODE.search(line) and not _CODE.search(following)
