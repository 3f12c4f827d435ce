"""Tools as a turn declares them, and the choice among them, in terms no dialect owns."""

import re
from typing import Final, Literal

from msgspec import Raw, Struct

MAX_FUNCTION_NAME: Final = 64
"""Characters of a function's name that every upstream takes."""
_UNNAMEABLE: Final = re.compile(r"[^a-zA-Z0-9_-]")


class FunctionTool(Struct, frozen=True, tag="function"):
    """A function that the client runs; also how a hosted tool is shown to a model. `parameters` is a JSON schema.

    `name` is what the model calls: that of a function in a namespace is made by `qualified_name`.
    """

    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool = False
    namespace: str | None = None

    @property
    def own_name(self) -> str:
        """The function's name inside its namespace, as the client knows it."""
        return self.name if self.namespace is None else self.name.removeprefix(qualified_name(self.namespace, ""))


class RankingOptions(Struct, frozen=True):
    """How file_search ranks: score threshold in 0..1 and the weights of the two legs."""

    ranker: str = "auto"
    score_threshold: float = 0.0
    embedding_weight: float | None = None
    text_weight: float | None = None


class FileSearchTool(Struct, frozen=True, tag="file_search"):
    """Search in vector stores. `filters` is the attribute filter as JSON, validated at intake."""

    vector_store_ids: tuple[str, ...]
    max_num_results: int | None = None
    ranking: RankingOptions = RankingOptions()
    filters: Raw | None = None


class WebSearchTool(Struct, frozen=True, tag="web_search"):
    """Search of the web. `kind` is how the request names it; `live` is false where nothing new may be fetched."""

    kind: str = "web_search"
    allowed_domains: tuple[str, ...] = ()
    context_size: Literal["low", "medium", "high"] = "medium"
    country: str | None = None
    live: bool = True


class Access:
    """Where a tool server is and how a request may enter it: never encoded, stored or shown, so it is no Struct."""

    __slots__ = ("headers", "url")

    def __init__(self, url: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.url = url
        self.headers = headers

    def __repr__(self) -> str:
        return "Access(...)"


class ToolMatch(Struct, frozen=True):
    """Some of a server's tools: those named, those that only read (or that do not); None matches any."""

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def matches(self, name: str, *, read_only: bool) -> bool:
        """Tell whether a tool is among them."""
        return (self.names is None or name in self.names) and self.read_only in (None, read_only)


class McpTool(Struct, frozen=True, tag="mcp"):
    """The tools of a Model Context Protocol server. A call needs the client's approval where `approve` matches and
    `skip` does not."""

    label: str
    access: Access
    description: str | None = None
    allowed: ToolMatch = ToolMatch()
    approve: ToolMatch | None = ToolMatch()
    skip: ToolMatch | None = None


class HostedTool(Struct, frozen=True, tag="hosted"):
    """A hosted tool kept as it was sent, for an adapter registered under `kind`."""

    kind: str
    spec: Raw


Tool = FunctionTool | FileSearchTool | WebSearchTool | McpTool | HostedTool


class ToolChoice(Struct, frozen=True):
    """Which tools the model may or must use. `names` narrows to functions or hosted kinds; empty means all.

    `mode="required"` with one name forces that tool; with several it is `allowed_tools` in required mode.
    """

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


class ToolCall(Struct, frozen=True):
    """A complete call as the model made it. `arguments` is the JSON text, possibly invalid."""

    call_id: str
    name: str
    arguments: str


def tool_name(tool: Tool) -> str:
    """Return the name by which a model calls `tool` and a choice names it."""
    match tool:
        case FunctionTool():
            return tool.name
        case FileSearchTool():
            return "file_search"
        case WebSearchTool() | HostedTool():
            return tool.kind
        case McpTool():
            return f"mcp:{tool.label}"


def qualified_name(namespace: str | None, name: str) -> str:
    """Return the name by which a model calls a function: models know no namespaces, but two may have one name."""
    return name if namespace is None else f"{namespace}__{name}"


def function_name(name: str) -> str:
    """Return the name by which a model calls a function that its server calls `name`."""
    return _UNNAMEABLE.sub("_", name)[:MAX_FUNCTION_NAME] or "_"
