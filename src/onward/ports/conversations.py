"""The seam to conversations (and threads: the same logs under another name)."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from onward.core.items import Item
from onward.ports.runs import ItemPage, Page


class Conversation(Struct, frozen=True):
    """A named log. `suffix` is shared by `conv_X` and `thread_X`; `metadata` is a JSON object, `created_at` seconds."""

    suffix: str
    created_at: float
    metadata: bytes


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
