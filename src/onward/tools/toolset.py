"""The hosted tools of one project: today file_search; a further tool is one more branch here and a file of its own."""

from collections.abc import Sequence
from typing import Final

from onward.core.errors import OnwardError, RequestError
from onward.core.tools import FileSearchTool, FunctionTool, Tool, ToolCall, tool_name
from onward.ports import hosted
from onward.ports.asking import Extractor, QueryMaker
from onward.ports.cite import CiterFactory
from onward.ports.vector_stores import StoreSearch, VectorStores, expired_store
from onward.tools import file_search
from onward.tools.citing import MatchingCiter, as_ranked

FORCED_THRESHOLD: Final = 0.003
"""Score (0..1, comparable across queries) under which a search that no model asked for counts as empty.

Small, because paraphrases without a common word score 0.004 and more, unrelated questions 0.001 and less; a passage
too many costs a small model less than the one it lacks."""

SHORT_PASSAGE: Final = 200
"""Tokens of a passage for a model that reads only a few: short results also rank better than whole chunks."""


class ProjectToolset:
    """Implements `Toolset` for one project."""

    def __init__(
        self,
        *,
        vector_stores: VectorStores,
        search: StoreSearch,
        citers: CiterFactory,
        extractor: Extractor,
        query_maker: QueryMaker,
    ) -> None:
        self._vector_stores = vector_stores
        self._search = search
        self._citers = citers
        self._extractor = extractor
        self._query_maker = query_maker

    def supports(self, tool: Tool) -> bool:
        """Tell whether this server runs the tool."""
        return isinstance(tool, FileSearchTool)

    async def check(self, tool: Tool) -> None:
        """Check a declaration. Raises RequestError, NotFoundError."""
        declared = _file_search(tool)
        if not declared.vector_store_ids:
            raise RequestError("The tool 'file_search' needs at least one vector store.", param="tools")
        file_search.filter_of(declared)
        for store_id in declared.vector_store_ids:
            if (await self._vector_stores.get(store_id)).expired:
                raise expired_store(store_id)

    def declare(self, tool: Tool) -> FunctionTool:
        """Return how the model sees the tool."""
        _file_search(tool)
        return file_search.DECLARATION

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a search call."""
        return file_search.queries_of(call) if call.name == file_search.NAME else ()

    async def run(self, tool: Tool, call: ToolCall) -> hosted.Outcome:
        """Run the call; a fault of the tool is an Outcome with status `failed`."""
        declared = _file_search(tool)
        queries = file_search.queries_of(call)
        if not queries:
            return file_search.failed((), 'The call had no queries. Call file_search with {"queries": ["..."]}.')
        return await file_search.search(self._search, declared, queries, shown=queries)

    async def search_first(
        self, tool: Tool, messages: Sequence[str], *, limit: int | None, tokens: int | None = None
    ) -> hosted.Outcome | None:
        """Search for the user's last message; None where nothing relevant was found."""
        declared = _file_search(tool)
        queries = self._query_maker(messages)
        if not queries:
            return None
        shown = tuple(dict.fromkeys(text[: file_search.MAX_QUERY] for text in queries))
        budget = tokens if tokens is not None or limit is None else limit * SHORT_PASSAGE
        found = await file_search.search(self._search, declared, shown, shown=shown, limit=limit, tokens=budget)
        best = max((passage.score for passage in found.passages), default=0.0)
        return found if found.status == "failed" or best >= FORCED_THRESHOLD else None

    def citer(self, passages: Sequence[hosted.Passage]) -> hosted.Citer:
        """Return a citer over all passages of the turn."""
        return MatchingCiter(self._citers(as_ranked(passages)), passages)

    def extract(self, question: Sequence[str], passages: Sequence[hosted.Passage]) -> str:
        """Answer with the best sentences of the passages."""
        return self._extractor(question, as_ranked(passages)).text


def _file_search(tool: Tool) -> FileSearchTool:
    if not isinstance(tool, FileSearchTool):
        raise OnwardError(f"The tool '{tool_name(tool)}' does not run on this server.")
    return tool
