"""The seam to what stands between talk and search: which queries a message makes, and answers without a model.

It knows texts and passages; no dialect, no tools, no ids.
"""

from collections.abc import Sequence
from typing import Protocol

from onward.ports.cite import Answer
from onward.ports.passages import Passage


class QueryMaker(Protocol):
    """Makes the queries of a search that no model asked for."""

    def __call__(self, messages: Sequence[str], /) -> Sequence[str]:
        """Return the queries for the last of `messages` (the user's, oldest first).

        A message that is short or leans on the one before ("and for digital goods?") also brings that one. Empty where
        there is nothing to search for.
        """
        ...


class Extractor(Protocol):
    """Answers from passages alone."""

    def __call__(self, questions: Sequence[str], passages: Sequence[Passage], /) -> Answer:
        """Return the best sentences of `passages` for the last of `questions`; an empty text where none fits."""
        ...
