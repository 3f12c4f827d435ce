"""Cuts a passage down to the sentences around what was asked, for models that read only a few hundred tokens."""

import re
from collections.abc import Sequence
from typing import Final

from onward.core.tokens import estimate_tokens

_BOUNDARY: Final = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*#|>•]|\d+[.)]))")
"""A line that is merely wrapped is not the end of a sentence."""
_WORD: Final = re.compile(r"\w+")
STEM: Final = 5
"""Letters that two forms of one word share."""


def excerpt(text: str, queries: Sequence[str], *, tokens: int) -> str:
    """Return the run of whole sentences of `text` that shares most words with `queries` in at most `tokens` tokens.

    A single sentence that is longer is returned whole. A text that fits is returned as it is.
    """
    if estimate_tokens(text) <= tokens:
        return text
    spans = _sentences(text)
    wanted = {stem for query in queries for stem in _stems(query)}
    costs = [estimate_tokens(text[start:end]) for start, end in spans]
    gains = [len(wanted & _stems(text[start:end])) for start, end in spans]
    first, last = _best_run(costs, gains, tokens)
    return text[spans[first][0] : spans[last][1]].strip()


def _sentences(text: str) -> list[tuple[int, int]]:
    starts = [0, *(match.end() for match in _BOUNDARY.finditer(text))]
    ends = [*starts[1:], len(text)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _WORD.findall(text.casefold()) if len(word) > 2 or not word.isascii()}


def _best_run(costs: Sequence[int], gains: Sequence[int], budget: int) -> tuple[int, int]:
    """Return the first and last index of the best window that fits; the earliest of equals."""
    best, chosen = -1, (0, 0)
    first = cost = gain = 0
    for last in range(len(costs)):
        cost, gain = cost + costs[last], gain + gains[last]
        while cost > budget and first < last:
            cost, gain, first = cost - costs[first], gain - gains[first], first + 1
        if gain > best:
            best, chosen = gain, (first, last)
        elif chosen[1] == last - 1 and chosen[0] == first:
            # The window grew without dropping anything: context after the best sentence is worth having.
            chosen = first, last
    return chosen
