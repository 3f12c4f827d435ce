"""The hosted tools of one project: a further tool is one more branch here and a file of its own."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from onward.core.errors import OnwardError, RequestError
from onward.core.items import Item
from onward.core.tools import FileSearchTool, McpTool, Tool, ToolCall, WebSearchTool, tool_name
from onward.ports import hosted
from onward.ports.asking import Extractor, QueryMaker
from onward.ports.cite import CiterFactory
from onward.ports.egress import Egress, EgressError
from onward.ports.vector_stores import StoreSearch, VectorStores, expired_store
from onward.tools import file_search, web_search
from onward.tools.citing import MatchingCiter, as_ranked
from onward.tools.mcp import listing as mcp_listing
from onward.tools.mcp.session import McpServers

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
        egress: Egress,
        web: web_search.WebSearch | None = None,
    ) -> None:
        self._vector_stores = vector_stores
        self._search = search
        self._citers = citers
        self._extractor = extractor
        self._query_maker = query_maker
        self._egress = egress
        self._web = web

    def supports(self, tool: Tool) -> bool:
        """Tell whether this server runs the tool."""
        return isinstance(tool, FileSearchTool | WebSearchTool | McpTool)

    async def check(self, tool: Tool) -> None:
        """Check a declaration. Raises RequestError, NotFoundError."""
        match tool:
            case FileSearchTool():
                await self._check_stores(tool)
            case WebSearchTool() if self._web is None:
                raise RequestError(
                    f"Tool '{tool.kind}' is not available on this server: no search endpoint is configured "
                    "(ONWARD_WEB_SEARCH_URL).",
                    param="tools",
                    code="unsupported_tool",
                )
            case McpTool():
                self._check_address(tool)
            case _:
                pass

    def _check_address(self, tool: McpTool) -> None:
        try:
            self._egress.check(tool.access.url)
        except EgressError as error:
            raise RequestError(
                f"Invalid 'server_url' of MCP server '{tool.label}': {error.message}",
                param="tools",
                code="invalid_value",
            ) from error

    async def _check_stores(self, tool: FileSearchTool) -> None:
        if not tool.vector_store_ids:
            raise RequestError("The tool 'file_search' needs at least one vector store.", param="tools")
        file_search.filter_of(tool)
        for store_id in tool.vector_store_ids:
            if (await self._vector_stores.get(store_id)).expired:
                raise expired_store(store_id)

    def lists(self, tool: Tool) -> bool:
        """Tell whether what the tool offers is learnt from its server."""
        return isinstance(tool, McpTool)

    def offers(self, tool: Tool, listing: Item | None = None) -> Sequence[hosted.Offer]:
        """Return what the tool offers the model."""
        match tool:
            case FileSearchTool():
                return (hosted.Offer(file_search.DECLARATION, "file_search_call", tool, file_search.NAME),)
            case WebSearchTool():
                return (web_search.offer(tool),)
            case McpTool() if listing is not None:
                return mcp_listing.offers(tool, listing)
            case _:
                raise _unknown(tool)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[hosted.Session]:
        """Return the tools for the length of a turn."""
        servers = McpServers(self._egress)
        try:
            yield _TurnTools(self._search, self._web, servers)
        finally:
            await servers.aclose()

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        """Return the queries of a search call."""
        return file_search.queries_of(call) if call.name == file_search.NAME else ()

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


class _TurnTools:
    """Implements `Session`."""

    def __init__(self, search: StoreSearch, web: web_search.WebSearch | None, servers: McpServers) -> None:
        self._search = search
        self._web = web
        self._servers = servers

    async def list_tools(self, tool: Tool) -> hosted.Outcome:
        """Ask a tool server what it offers."""
        if not isinstance(tool, McpTool):
            raise _unknown(tool)
        return await self._servers.list_tools(tool)

    async def run(self, offer: hosted.Offer, call: ToolCall, *, approval: str | None = None) -> hosted.Outcome:
        """Run the call; a fault of the tool is an Outcome with status `failed`."""
        tool = offer.tool
        match tool:
            case FileSearchTool():
                return await file_search.run(self._search, tool, call)
            case WebSearchTool() if self._web is not None:
                return await web_search.search(self._web, tool, call)
            case McpTool():
                return await self._servers.run(tool, offer, call, approval=approval)
            case _:
                raise _unknown(tool)


def _file_search(tool: Tool) -> FileSearchTool:
    if not isinstance(tool, FileSearchTool):
        raise _unknown(tool)
    return tool


def _unknown(tool: Tool) -> OnwardError:
    return OnwardError(f"The tool '{tool_name(tool)}' does not run on this server.")
