"""The stand-in where there is no language model: honest about it, and about how to get one.

The engine answers questions about files without it, with the best sentences of the passages found (`Toolset.extract`).
This answers what is left: turns in which nothing was searched.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from onward.core.errors import RequestError
from onward.core.items import Item
from onward.core.tokens import estimate_tokens
from onward.core.usage import Usage
from onward.ports.model import Capabilities, Finished, ModelEvent, ModelRequest, TextDelta, Used

NAME: Final = "extractive"

_INTRODUCTION: Final = "No language model is configured on this server, so it can only answer from files: "
_HOW_TO_ASK: Final = "attach a vector store with the file_search tool and it answers with the best passages. "
_TOOLS: Final = "Function tools need a language model. "
_HOW_TO_CONFIGURE: Final = (
    "To add a model, run `onward models pull`, start one with Ollama or vLLM on this machine, "
    "or set OPENAI_BASE_URL and OPENAI_API_KEY, then restart."
)


class ExtractiveModel:
    """The `Model` without a model."""

    @property
    def name(self) -> str:
        """Its name."""
        return NAME

    @property
    def upstream(self) -> str:
        """There is none; the name for logs."""
        return NAME

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tool_mode="none", images=False, json_schema=False, extractive=True)

    def render(self, items: Sequence[Item]) -> bytes:
        """Return nothing: there is nobody to read it."""
        del items
        return b""

    def call(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Answer with what is missing. Raises RequestError where only a model could do what is asked."""
        if request.tool_choice.mode == "required":
            raise RequestError(f"{_TOOLS}{_HOW_TO_CONFIGURE}", param="tool_choice", code="model_required")
        if request.format.kind != "text":
            raise RequestError(
                f"Answers in JSON need a language model. {_HOW_TO_CONFIGURE}",
                param="text.format",
                code="model_required",
            )
        return _answer(request)


@asynccontextmanager
async def _answer(request: ModelRequest) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
    sentences = [_INTRODUCTION, _HOW_TO_ASK, *([_TOOLS] if request.tools else []), _HOW_TO_CONFIGURE]
    usage = Usage(output_tokens=estimate_tokens("".join(sentences)), estimated=True)
    events: list[ModelEvent] = [TextDelta(sentence) for sentence in sentences]

    async def batches() -> AsyncIterator[Sequence[ModelEvent]]:
        yield [*events, Finished("stop"), Used(usage)]

    yield batches()
