"""file_search: how a model is told of it, how its calls are read, and what it answers."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from onward.core.errors import OnwardError, RequestError
from onward.core.items import SearchResult, encode
from onward.core.tokens import estimate_tokens
from onward.core.tools import FileSearchTool, FunctionTool, ToolCall
from onward.ports.filters import Filter, FilterError, decode_filter
from onward.ports.hosted import Outcome, Passage
from onward.ports.library import Ranking
from onward.ports.passages import Weights
from onward.ports.vector_stores import Hit, StoreSearch
from onward.tools.excerpt import excerpt

NAME: Final = "file_search"
DEFAULT_RESULTS: Final = 20
MAX_RESULTS: Final = 50
TOKEN_BUDGET: Final = 16_000
"""Tokens of passages that one call may put before a model."""
MAX_QUERIES: Final = 5
MAX_QUERY: Final = 2_000
NEAR_BEST: Final = 0.2
"""Share of the best score below which a passage is left out where room is scarce."""

DECLARATION: Final = FunctionTool(
    name=NAME,
    description=(
        "Search the files that the user has provided. Use it before answering whenever their content could matter: "
        "it returns the most relevant passages, numbered, with file names. Give one to five search queries; each is a "
        "complete phrase or question in the words the files are likely to use. Replace references to the conversation "
        "('it', 'that', 'and for X?') by what they stand for, and split a question about several things into a query "
        "for each."
    ),
    parameters=Raw(
        b'{"type":"object","properties":{"queries":{"type":"array","items":{"type":"string"},"minItems":1,'
        b'"maxItems":5,"description":"Search queries, the most important one first."}},'
        b'"required":["queries"],"additionalProperties":false}'
    ),
)


class _Arguments(Struct, frozen=True):
    queries: list[str] | str | None = None
    query: str | None = None


_arguments = msgspec.json.Decoder(_Arguments, strict=False)


def queries_of(call: ToolCall) -> tuple[str, ...]:
    """Return the queries of a call; models that say `query`, or send one string, are understood too."""
    try:
        arguments = _arguments.decode(call.arguments or "{}")
    except (msgspec.MsgspecError, UnicodeError):
        return ()
    raw = arguments.queries if arguments.queries is not None else arguments.query
    listed = [raw] if isinstance(raw, str) else raw or []
    return tuple(dict.fromkeys(text.strip()[:MAX_QUERY] for text in listed if text.strip()))[:MAX_QUERIES]


def filter_of(tool: FileSearchTool) -> Filter | None:
    """Return the attribute filter of a declaration. Raises RequestError naming the place that is wrong."""
    if tool.filters is None:
        return None
    try:
        return decode_filter(msgspec.json.decode(tool.filters))
    except FilterError as error:
        raise RequestError(error.message, param=f"tools.{error.path}", code="invalid_value") from error


def ranking_of(tool: FileSearchTool, *, limit: int) -> Ranking:
    """Return how a declaration ranks, at most `limit` passages."""
    options = tool.ranking
    weights = None
    if options.embedding_weight is not None or options.text_weight is not None:
        weights = Weights(options.embedding_weight or 0.0, options.text_weight or 0.0)
    return Ranking(
        limit=limit,
        threshold=options.score_threshold,
        weights=weights if weights is not None and weights.embedding + weights.text > 0 else None,
        ranker="none" if options.ranker == "none" else "auto",
    )


async def run(stores: StoreSearch, tool: FileSearchTool, call: ToolCall) -> Outcome:
    """Run a call of the model's; a fault becomes a failed outcome."""
    queries = queries_of(call)
    if not queries:
        return failed((), 'The call had no queries. Call file_search with {"queries": ["..."]}.')
    return await search(stores, tool, queries, shown=queries)


async def search(
    stores: StoreSearch,
    tool: FileSearchTool,
    queries: Sequence[str],
    *,
    shown: Sequence[str],
    limit: int | None = None,
    tokens: int | None = None,
) -> Outcome:
    """Search and return the call's outcome; `shown` are the queries of the item. A fault becomes a failed outcome.

    `limit` passages at most; each is cut so that all fit `tokens` tokens, where given.
    """
    wanted = min(limit or MAX_RESULTS, tool.max_num_results or DEFAULT_RESULTS, MAX_RESULTS)
    try:
        hits = await stores.search(
            tool.vector_store_ids, queries, filter=filter_of(tool), ranking=ranking_of(tool, limit=wanted)
        )
    except OnwardError as error:
        return failed(shown, f"The search failed: {error.message}")
    kept = within_budget(hits) if tokens is None else near_best(hits)
    return outcome(shown, kept, queries=queries, tokens=tokens)


def failed(queries: Sequence[str], reason: str) -> Outcome:
    """Return the outcome of a call that found nothing because of a fault; the model is told why."""
    return Outcome(encode({"queries": list(queries), "results": []}), reason, status="failed")


def near_best(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits whose score is not far below the best: a model with room for little must not read the rest."""
    best = max((hit.score for hit in hits), default=0.0)
    return [hit for hit in hits if hit.score >= best * NEAR_BEST]


def within_budget(hits: Sequence[Hit]) -> list[Hit]:
    """Return the leading passages that fit the token budget, at least one where there is any."""
    kept: list[Hit] = []
    used = 0
    for hit in hits:
        used += estimate_tokens(hit.text)
        if kept and used > TOKEN_BUDGET:
            break
        kept.append(hit)
    return kept


def outcome(shown: Sequence[str], hits: Sequence[Hit], *, queries: Sequence[str], tokens: int | None) -> Outcome:
    """Return the outcome for `hits`: the item's body, the text for the model, the passages that may be cited."""
    results = [SearchResult(hit.file_id, hit.filename, hit.score, hit.text, hit.attributes) for hit in hits]
    passages = tuple(
        Passage(hit.file_id, hit.filename, hit.text, hit.score, hit.start, hit.end, hit.page) for hit in hits
    )
    body = encode({"queries": list(shown), "results": results})
    return Outcome(body, _answer(hits, queries, tokens), passages=passages)


def _answer(hits: Sequence[Hit], queries: Sequence[str], tokens: int | None) -> str:
    if not hits:
        return "No passage of the files matches."
    share = None if tokens is None else max(1, tokens // len(hits))
    blocks: list[str] = []
    for number, hit in enumerate(hits, 1):
        place = hit.filename if hit.page is None else f"{hit.filename}, page {hit.page}"
        text = hit.text if share is None else excerpt(hit.text, queries, tokens=share)
        blocks.append(f"[{number}] {place}\n{text}")
    return "Passages from the files, best first:\n\n" + "\n\n".join(blocks)
