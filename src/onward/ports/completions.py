"""The seam to stored chat completions: the finished runs of the chat dialect, listed and labelled."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from onward.core.items import Item
from onward.ports.runs import Page, Run


class StoredCompletion(Struct, frozen=True):
    """A finished run with what it made."""

    run: Run
    output: Sequence[Item]


class CompletionPage(Struct, frozen=True):
    """One page, in the order asked for."""

    completions: Sequence[StoredCompletion]
    has_more: bool


class Completions(Protocol):
    """Stored chat completions of one project; `suffix` is the identity of their runs.

    A run that has not ended, or ended without an answer, is none.
    """

    async def get(self, suffix: str) -> StoredCompletion | None:
        """Return a completion; None where there is none."""
        ...

    async def page(
        self, page: Page, *, model: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> CompletionPage:
        """Return a page by creation; `page.after` is a suffix, also of a deleted completion.

        Only those of `model` and with all pairs of `metadata`, where given. Raises NotFoundError for a cursor that
        never was.
        """
        ...

    async def update(self, suffix: str, *, metadata: bytes) -> StoredCompletion | None:
        """Replace the metadata (a JSON object) and return the completion; None where there is none."""
        ...

    async def delete(self, suffix: str) -> bool:
        """Remove a completion; histories that build on it keep its items. Returns False for an unknown one."""
        ...
