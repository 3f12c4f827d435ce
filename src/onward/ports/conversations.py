"""The seam to conversations (and threads: the same logs under another name)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from onward.core.items import Item
from onward.ports.runs import ItemPage, Page


class Conversation(Struct, frozen=True):
    """A named log. `suffix` is shared by `conv_X` and `thread_X`; `metadata` is a JSON object, `created_at` seconds."""

    suffix: str
    created_at: float
    metadata: bytes


class ConversationPage(Struct, frozen=True):
    """One page of conversations, in the order asked for."""

    conversations: Sequence[Conversation]
    has_more: bool


class IncomingConversation(Protocol):
    """A conversation that is coming in. Nothing of it is visible before `finish`."""

    async def add(self, items: Sequence[Item]) -> None:
        """Append a batch of items; durable when it returns."""
        ...

    async def finish(self, suffix: str | None) -> Conversation:
        """Open the conversation, under `suffix` where one is given. Raises ConflictError for one that exists."""
        ...


class Conversations(Protocol):
    """Named logs of one project. Every call on an unknown or deleted conversation raises NotFoundError."""

    async def create(self, *, metadata: bytes, items: Sequence[Item]) -> Conversation:
        """Create a conversation that begins with `items`."""
        ...

    async def get(self, conversation_id: str) -> Conversation: ...

    async def update(self, conversation_id: str, *, metadata: bytes) -> Conversation:
        """Replace the metadata."""
        ...

    async def delete(self, conversation_id: str) -> None:
        """Close the name in both dialects; items that responses reach stay.

        Raises ConversationLocked while a run is active.
        """
        ...

    async def append(self, conversation_id: str, items: Sequence[Item]) -> None:
        """Append items. Raises ConversationLocked while a run is active, RequestError for a duplicate id."""
        ...

    async def page(self, conversation_id: str, page: Page, *, messages_only: bool = False) -> ItemPage:
        """Return a page of visible items; cursors stay valid after their item was deleted."""
        ...

    async def item(self, conversation_id: str, item_id: str) -> Item:
        """Return one visible item. Raises NotFoundError."""
        ...

    async def remove(self, conversation_id: str, item_id: str) -> Conversation:
        """Delete one item from the log; branches taken before keep it. Raises NotFoundError, ConversationLocked."""
        ...

    async def find(self, page: Page, *, metadata: Mapping[str, str] | None = None) -> ConversationPage:
        """Return a page of conversations whose metadata has all the given pairs; cursors outlive their conversation.

        Raises NotFoundError for a cursor that never was.
        """
        ...

    async def fork(
        self, conversation_id: str, *, up_to: str | None = None, metadata: bytes | None = None
    ) -> Conversation:
        """Return a new conversation that begins with what this one shows, up to an item and with it, if given.

        Nothing is copied, and neither sees what later becomes of the other. Without `metadata` the fork takes over that
        of its origin. Raises NotFoundError.
        """
        ...

    def items(self, conversation_id: str) -> AsyncGenerator[Sequence[Item]]:
        """Yield the items of a conversation, oldest first, in batches, as they were when the first was asked for.

        Raises NotFoundError, ConflictError where items went meanwhile.
        """
        ...

    async def enter_line(self, conversation_id: str, *, limit: int, seconds: float) -> tuple[str, int]:
        """Take the last place of the line before a conversation, for so many seconds; return its suffix and a ticket.

        Raises NotFoundError, RateLimitError where `limit` wait already.
        """
        ...

    async def is_next(self, suffix: str, ticket: int) -> bool:
        """Tell whether nobody stands before a ticket and the conversation is free. Raises NotFoundError."""
        ...

    async def renew_place(self, suffix: str, ticket: int, *, seconds: float) -> None:
        """Keep a place for so much longer."""
        ...

    async def leave_line(self, suffix: str, ticket: int) -> None:
        """Give up a place."""
        ...

    def receive(self, *, metadata: bytes, created_at: float) -> AbstractAsyncContextManager[IncomingConversation]:
        """Open a conversation that comes in by batches; leaving the context without `finish` leaves nothing."""
        ...
