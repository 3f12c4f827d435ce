"""Chooses what a model call reads: the rendered history, what is new, and the passages that were found for it."""

from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import Struct

from onward.core.errors import RequestError
from onward.core.items import Item, encode, item_text
from onward.core.tokens import estimate_tokens
from onward.core.turns import TurnRequest
from onward.engine.context import ContextCache, ContextKey
from onward.engine.inline import inline_files
from onward.engine.pairs import paired
from onward.engine.project import TurnProject
from onward.engine.servers import as_calls
from onward.ports.model import Capabilities, Model
from onward.ports.runs import Base

DEFAULT_RESERVE: Final = 1024
"""Tokens kept free for the answer where the request does not say."""

BLOCKS: Final = 4
"""History is dropped in blocks of the window divided by this, so that the prefix stays the same for many turns."""

_fields = msgspec.json.Decoder(dict[str, object]).decode


class Assembly(Struct, frozen=True):
    """The context of a turn: `history` as it is kept under `key`, `fresh` items, and the estimated `tokens` of both."""

    history: Sequence[bytes]
    fresh: Sequence[Item]
    key: ContextKey
    tokens: int
    preamble: bytes = b""
    """What goes before the history, rendered."""


async def assemble(
    project: TurnProject,
    model: Model,
    request: TurnRequest,
    base: Base,
    supplied: Sequence[Item],
    cache: ContextCache,
    *,
    tool_tokens: int,
) -> Assembly:
    """Return what the first model call of a turn reads, beside tools (and what they find) of `tool_tokens`.

    Raises RequestError `context_length_exceeded`.
    """
    # Items of the chat dialect stand elsewhere in its request, and tool servers' items among those that are read.
    placed = request.dialect == "responses" and len(supplied) == len(request.input) - base.matched
    fresh = await inline_files(
        supplied,
        project.attachments,
        image_urls=model.capabilities.image_urls,
        first=base.matched if placed else None,
    )
    preamble = await inline_files(request.preamble, project.attachments, image_urls=model.capabilities.image_urls)
    new_tokens = (
        sum(item.tokens for item in (*preamble, *fresh)) + estimate_tokens(request.instructions or "") + tool_tokens
    )
    window = model.capabilities.context_window
    dropped = 0 if window is None else dropped_tokens(base.tokens, window, _reserve(request, window) + new_tokens)
    if dropped and not _may_truncate(model.capabilities, request):
        raise RequestError(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            param="input",
            code="context_length_exceeded",
        )
    key = (project.key, f"{model.upstream}/{model.name}", base.lineage, dropped)
    kept = base.tokens - dropped
    history = cache.get(key)
    if history is None:
        history = await _render(project, model, base, token_budget=kept if dropped else None) if base.lineage else ()
    return Assembly(history, fresh, key, new_tokens + kept, model.render(preamble) if preamble else b"")


def dropped_tokens(history: int, window: int, taken: int) -> int:
    """Return how many of the history's oldest tokens are left out of a window of which `taken` are not for history.

    Whole blocks, which depend on the window alone: what a turn brings must not move the beginning of the context. Where
    little is left for history, blocks are halved so that they do not take it all.
    """
    budget = window - taken
    if history <= budget:
        return 0
    block = max(window // BLOCKS, 1)
    while block > max(budget // 2, 1):
        block //= 2
    return min(history, -(-(history - budget) // block) * block)


def _reserve(request: TurnRequest, window: int) -> int:
    return min(request.sampling.max_output_tokens or DEFAULT_RESERVE, window // 2)


def _may_truncate(capabilities: Capabilities, request: TurnRequest) -> bool:
    return request.truncation == "auto" or capabilities.passage_tokens is not None or capabilities.extractive


async def _render(project: TurnProject, model: Model, base: Base, *, token_budget: int | None) -> Sequence[bytes]:
    items = await project.runs.context(base.lineage, token_budget=token_budget)
    whole = as_calls(paired(items, waiting=base.open_calls))
    fetched = model.capabilities.image_urls
    readable = await inline_files(whole, project.attachments, image_urls=fetched, history=True)
    fragment = model.render(readable)
    return (fragment,) if fragment else ()


async def recent_questions(project: TurnProject, base: Base, supplied: Sequence[Item]) -> list[str]:
    """Return the texts of the last user messages, oldest first, the newest one last."""
    earlier = await project.runs.context(base.lineage, token_budget=2000) if base.lineage else ()
    texts = [item_text(item) for item in (*earlier, *supplied) if item.type == "message" and item.role == "user"]
    return [text for text in texts if text.strip()][-3:]


def with_passages(fresh: Sequence[Item], passages: str) -> Sequence[Item]:
    """Return the items with the passages put before the last question, for one turn only; its images stay."""
    question = fresh[-1]
    fields = _fields(question.body)
    content = fields.get("content")
    parts = cast("list[object]", content) if isinstance(content, list) else [{"type": "input_text", "text": content}]
    body = fields | {"content": [{"type": "input_text", "text": f"{passages}\n"}, *parts]}
    return [*fresh[:-1], msgspec.structs.replace(question, body=encode(body))]
