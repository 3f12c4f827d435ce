"""Tools as a turn declares them, and the choice among them, in terms no dialect owns."""

from typing import Literal

from msgspec import Raw, Struct


class FunctionTool(Struct, frozen=True, tag="function"):
    """A function that the client runs; also how a hosted tool is shown to a model. `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool = False


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


class HostedTool(Struct, frozen=True, tag="hosted"):
    """A hosted tool kept as it was sent, for an adapter registered under `kind`."""

    kind: str
    spec: Raw


Tool = FunctionTool | FileSearchTool | HostedTool


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
        case HostedTool():
            return tool.kind
