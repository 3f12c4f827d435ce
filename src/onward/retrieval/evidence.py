"""The sentences of some passages with their words and weights: what citations and extracts are matched against.

It knows passages as text; rare words weigh more than those in every sentence.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from onward.ports.passages import Passage
from onward.retrieval.sentences import split_atoms
from onward.retrieval.terms import query_terms

_EDGE_LEFT = re.compile(r"(?:[\s>|•*+\-]|#{1,6}\s|\d{1,2}[.)]\s)*")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TERMINAL = (".", "!", "?", "…", "。", "！", "？", "；", ";", '."', ".”", ".)")
MAX_HEADING = 80
MAX_TABLE = 4000
"""Sentences looked at in all."""


class Sentence(NamedTuple):
    """A sentence of a passage: ``start``/``end`` are code points of its text, ``heading`` words above it."""

    passage: int
    start: int
    end: int
    terms: frozenset[str]
    numbers: frozenset[str]
    heading: frozenset[str]
    is_heading: bool


class Evidence:
    """Sentences by number, the sentences of each term, and the terms' weights."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.sentences: list[Sentence] = []
        for number, passage in enumerate(passages):
            self.sentences += _sentences(number, passage)
            if len(self.sentences) > MAX_TABLE:
                del self.sentences[MAX_TABLE:]
                break
        counts: Counter[str] = Counter()
        self.holders: dict[str, list[int]] = {}
        for number, sentence in enumerate(self.sentences):
            counts.update(sentence.terms)
            for term in sentence.terms:
                self.holders.setdefault(term, []).append(number)
        size = len(self.sentences) + 10
        self._weights = {term: math.log(1 + size / count) for term, count in counts.items()}
        self._unknown = math.log(1 + size)

    def weight(self, term: str) -> float:
        """Return a term's weight; one that no passage has weighs most."""
        return self._weights.get(term, self._unknown)

    def total(self, terms: Iterable[str]) -> float:
        """Return the weight of all terms together."""
        return sum(self.weight(term) for term in terms)

    def known(self, term: str) -> bool:
        """Say whether any passage has the term."""
        return term in self._weights


def numbers_of(text: str) -> frozenset[str]:
    """Return the numbers of a text, thousands separators and a final dot removed."""
    return frozenset(number.replace(",", "").rstrip(".") for number in _NUMBER.findall(text))


def is_heading_line(line: str) -> bool:
    """Say whether a line is a heading: marked as one, or short and without an end mark."""
    text = line.strip()
    if _HEADING.match(line):
        return True
    listed = text.startswith(("-", "*", "•", "|")) or "|" in text
    return 0 < len(text) <= MAX_HEADING and not listed and not text.endswith((*_TERMINAL, ":", ","))


def heading_level(line: str, *, first: bool) -> int:
    """Return 1 to 6; a heading without marks is the title where it comes first, else a section of it."""
    match = _HEADING.match(line)
    return match[0].count("#") if match else 1 if first else 2


def _sentences(number: int, passage: Passage) -> list[Sentence]:
    text = passage.text
    found: list[Sentence] = []
    above: list[tuple[int, frozenset[str]]] = [(0, frozenset(query_terms(f"{passage.title} {passage.heading}")))]
    for atom in split_atoms(text):
        raw = text[atom.start : atom.end]
        edge = _EDGE_LEFT.match(raw)
        start = atom.start + (edge.end() if edge else 0)
        end = atom.start + len(raw.rstrip())
        if end <= start:
            continue
        terms = frozenset(query_terms(text[start:end]))
        titled = is_heading_line(raw.rstrip()) and atom.strength > 1 and "\n" in text[atom.start : atom.end + 1]
        if titled:
            level = heading_level(raw, first=len(above) == 1)
            above = [entry for entry in above if entry[0] < level] + [(level, terms)]
        heading = frozenset[str]().union(*(entry[1] for entry in above))
        numbers = numbers_of(text[start:end])
        found.append(Sentence(number, start, end, terms, numbers, heading, titled))
    return found
