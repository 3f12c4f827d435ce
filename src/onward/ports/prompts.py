"""The seam to prompts: named configurations of a turn, in numbered versions of which one is current.

A version never changes. Its configuration is a JSON object that the dialects give meaning to; stores keep equal ones
once per project, together with those of runs.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from onward.core.errors import NotFoundError
from onward.ports.runs import Page


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt with the configuration of its `current` version; `latest` is its highest version, times are seconds
    since the epoch, `metadata` is a JSON object."""

    id: str
    name: str | None
    metadata: bytes
    created_at: float
    current: int
    latest: int
    configuration: bytes


class PromptVersion(Struct, frozen=True, kw_only=True):
    """One version of a prompt."""

    prompt_id: str
    number: int
    created_at: float
    configuration: bytes


class PromptPage(Struct, frozen=True):
    """One page of prompts, in the order asked for."""

    prompts: Sequence[Prompt]
    has_more: bool


class VersionPage(Struct, frozen=True):
    """One page of versions, in the order asked for."""

    versions: Sequence[PromptVersion]
    has_more: bool


class Prompts(Protocol):
    """Prompts of one project. Every call on an unknown or deleted prompt raises NotFoundError."""

    async def create(
        self, configuration: bytes, *, prompt_id: str | None, name: str | None, metadata: bytes, number: int = 1
    ) -> Prompt:
        """Create a prompt with its first version; without `prompt_id` under a fresh id.

        Raises ConflictError for an id that exists.
        """
        ...

    async def get(self, prompt_id: str) -> Prompt: ...

    async def page(self, page: Page) -> PromptPage:
        """Return a page of prompts; cursors stay valid after their prompt was deleted."""
        ...

    async def describe(self, prompt_id: str, *, name: str | None, metadata: bytes | None) -> Prompt:
        """Replace name and metadata, where they are given; no version is made."""
        ...

    async def select(self, prompt_id: str, number: int) -> Prompt:
        """Make a version the current one. Raises NotFoundError for a version that does not exist."""
        ...

    async def add(
        self, prompt_id: str, configuration: bytes, *, number: int | None, select: bool, after: int | None = None
    ) -> PromptVersion | None:
        """Add a version, under the next number where none is given, and make it current with `select`.

        With `after`, returns None and adds nothing where another version is current by now. Raises ConflictError for a
        number that exists.
        """
        ...

    async def delete(self, prompt_id: str) -> None:
        """Delete a prompt with all its versions; responses made with it keep what they were made of."""
        ...

    async def version(self, prompt_id: str, number: int | None) -> PromptVersion:
        """Return a version, or the current one. Raises NotFoundError."""
        ...

    async def versions(self, prompt_id: str, page: Page) -> VersionPage:
        """Return a page of versions; cursors are version numbers."""
        ...


def no_such_prompt(prompt_id: str, version: object = None, *, param: str | None = "prompt") -> NotFoundError:
    """Return the error for an unknown prompt, or for an unknown version of one."""
    which = f"'{prompt_id[:200]}'" if version is None else f"'{prompt_id[:200]}' and version '{str(version)[:200]}'"
    return NotFoundError(f"Prompt with id {which} not found.", param=param, code="prompt_not_found")
