"""The seam to tools that the server itself runs inside a turn."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from onward.core.items import Citation
from onward.core.tools import FunctionTool, Tool, ToolCall


class Passage(Struct, frozen=True):
    """A passage a tool found: what the model reads and an answer may cite; offsets are code points of the document."""

    file_id: str
    filename: str
    text: str
    score: float
    start: int = 0
    end: int = 0
    page: int | None = None


class Outcome(Struct, frozen=True):
    """What a call produced. `body` is the item's JSON without id and type; `answer` is what the model reads."""

    body: bytes
    answer: str
    status: str = "completed"
    passages: tuple[Passage, ...] = ()


class Citer(Protocol):
    """Finds the support of an answer in passages while the answer is being written."""

    def feed(self, text: str) -> Sequence[Citation]:
        """Take more of the answer and return the citations decided by it, at most 2 ms a sentence."""
        ...

    def finish(self) -> Sequence[Citation]:
        """Return the citations of what is left."""
        ...


class Toolset(Protocol):
    """The hosted tools of one project."""

    def supports(self, tool: Tool) -> bool:
        """Tell whether the tool is a hosted one that this server can run."""
        ...

    async def check(self, tool: Tool) -> None:
        """Check a declaration before the turn begins. Raises RequestError or NotFoundError (unknown vector store)."""
        ...

    def declare(self, tool: Tool) -> FunctionTool:
        """Return how the model sees the tool."""
        ...

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a search call for its item; an empty tuple where there are none."""
        ...

    async def run(self, tool: Tool, call: ToolCall) -> Outcome:
        """Run the call. A fault of the tool is an Outcome with status `failed` that tells the model, never an error."""
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
