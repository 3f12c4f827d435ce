"""The seam to tools that the server itself runs inside a turn."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from onward.core.errors import OnwardError
from onward.core.items import Cited, Item
from onward.core.tools import FunctionTool, Tool, ToolCall


class Offer(Struct, frozen=True):
    """A function that a hosted tool offers to the model, and what a call of it becomes.

    `name` is the tool's own name of the function. An item that `shows` its call carries name, arguments and `label`.
    `asks`: the client has to approve a call before it runs; its item is then the request, and the turn ends.
    """

    function: FunctionTool
    item_type: str
    tool: Tool
    name: str
    label: str | None = None
    shows: bool = False
    asks: bool = False


class Passage(Struct, frozen=True):
    """A passage a tool found: what the model reads and an answer may cite; offsets are code points of the document.

    `url` is set for a page of the web, whose title is the `filename`.
    """

    file_id: str
    filename: str
    text: str
    score: float
    start: int = 0
    end: int = 0
    page: int | None = None
    url: str | None = None


class Outcome(Struct, frozen=True):
    """What a call produced. `body` is the item's JSON without id, type and status; `answer` is what the model reads.

    A `fault` ends the turn once the item was told of.
    """

    body: bytes
    answer: str
    status: str = "completed"
    passages: tuple[Passage, ...] = ()
    fault: OnwardError | None = None


class Citer(Protocol):
    """Finds the support of an answer in passages while the answer is being written."""

    def feed(self, text: str) -> Sequence[Cited]:
        """Take more of the answer and return the citations decided by it, at most 2 ms a sentence."""
        ...

    def finish(self) -> Sequence[Cited]:
        """Return the citations of what is left."""
        ...


class Session(Protocol):
    """The hosted tools during one turn: connections to tool servers live as long as it."""

    async def list_tools(self, tool: Tool) -> Outcome:
        """Ask a tool server what it offers; the outcome's body is that of a `mcp_list_tools` item."""
        ...

    async def run(self, offer: Offer, call: ToolCall, *, approval: str | None = None) -> Outcome:
        """Run the call; `approval` is the id of the request that the client approved.

        A fault of the tool is an Outcome with status `failed` that tells the model, never an error.
        """
        ...


class Toolset(Protocol):
    """The hosted tools of one project."""

    def supports(self, tool: Tool) -> bool:
        """Tell whether the tool is a hosted one that this server can run."""
        ...

    async def check(self, tool: Tool) -> None:
        """Check a declaration before the turn begins. Raises RequestError or NotFoundError (unknown vector store)."""
        ...

    def lists(self, tool: Tool) -> bool:
        """Tell whether what the tool offers is learnt from its server, by `Session.list_tools`."""
        ...

    def offers(self, tool: Tool, listing: Item | None = None) -> Sequence[Offer]:
        """Return what the tool offers the model; for a tool server's, from its `listing` (`mcp_list_tools`)."""
        ...

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Return the tools for the length of a turn."""
        ...

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a search call for its item; an empty tuple where there are none."""
        ...

    async def search_first(
        self, tool: Tool, messages: Sequence[str], *, limit: int | None, tokens: int | None = None
    ) -> Outcome | None:
        """Search for the last of `messages` (the user's, oldest first) before the model is asked.

        At most `limit` passages of at most `tokens` tokens together. Returns None where the best score is under the
        threshold of forced retrieval.
        """
        ...

    def citer(self, passages: Sequence[Passage]) -> Citer:
        """Return a citer over all passages of the turn."""
        ...

    def extract(self, question: Sequence[str], passages: Sequence[Passage]) -> str:
        """Answer with the best sentences of the passages; for the mode without a language model."""
        ...
