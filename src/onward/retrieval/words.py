"""Sets of words written as running text, for lists that are read rather than computed."""

from __future__ import annotations


def words_of(text: str) -> frozenset[str]:
    """Return the words of ``text``, which blanks and line ends separate."""
    return frozenset(text.split())
