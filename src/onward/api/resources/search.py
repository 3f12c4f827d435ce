"""`/v1/vector_stores/{id}/search`: passages for one query or several wordings of it."""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.errors import out_of_range, too_long
from onward.api.reply import json_reply
from onward.api.resources.access import search_of
from onward.api.resources.strategies import shown_attributes
from onward.core.errors import RequestError
from onward.ports.filters import Filter, FilterError, decode_filter
from onward.ports.library import Ranking
from onward.ports.passages import Weights
from onward.ports.vector_stores import Hit

MAX_QUERIES: Final = 16
MAX_QUERY: Final = 32_768
MAX_RESULTS: Final = 50


class HybridWeights(Struct, frozen=True):
    """The share of meaning and of words in the rank."""

    embedding_weight: float
    text_weight: float


class RankingOptions(Struct, frozen=True):
    """How results are ranked and cut off."""

    ranker: Literal["none", "auto", "default-2024-11-15", "default-2024-08-21", "default_2024_08_21"] = "auto"
    score_threshold: float | None = None
    hybrid_search: HybridWeights | None = None


class Search(Struct, frozen=True):
    """The body of a search. `rewrite_query` is accepted; queries are searched as they are."""

    query: str | list[str]
    filters: object = None
    max_num_results: int | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None


_search = msgspec.json.Decoder(Search)


def _queries(query: str | list[str]) -> list[str]:
    queries = [query] if isinstance(query, str) else query
    if len(queries) > MAX_QUERIES:
        raise too_long("query", len(queries), maximum=MAX_QUERIES, kind="array")
    if not queries or not all(text.strip() for text in queries):
        raise RequestError("Invalid 'query': it must not be empty.", param="query", code="invalid_value")
    for text in queries:
        if len(text) > MAX_QUERY:
            raise too_long("query", len(text), maximum=MAX_QUERY)
    return queries


def filter_of(raw: object) -> Filter | None:
    """Return the filter in a request's JSON. Raises RequestError naming the place that is wrong."""
    if raw is None:
        return None
    try:
        return decode_filter(raw)
    except FilterError as error:
        raise RequestError(error.message, param=error.path, code="invalid_value") from error


def _weights(hybrid: HybridWeights | None) -> Weights | None:
    if hybrid is None:
        return None
    name = "ranking_options.hybrid_search"
    for value, field in ((hybrid.embedding_weight, "embedding_weight"), (hybrid.text_weight, "text_weight")):
        if value < 0:
            raise out_of_range(f"{name}.{field}", value, low=0)
    if hybrid.embedding_weight + hybrid.text_weight <= 0:
        raise RequestError(f"Invalid '{name}': at least one weight must be above 0.", param=name, code="invalid_value")
    return Weights(hybrid.embedding_weight, hybrid.text_weight)


def _ranking(body: Search) -> Ranking:
    limit = 10 if body.max_num_results is None else body.max_num_results
    if not 1 <= limit <= MAX_RESULTS:
        raise out_of_range("max_num_results", limit, low=1, high=MAX_RESULTS)
    options = body.ranking_options or RankingOptions()
    threshold = options.score_threshold or 0.0
    if not 0 <= threshold <= 1:
        raise out_of_range("ranking_options.score_threshold", threshold, low=0, high=1)
    return Ranking(
        limit=limit,
        threshold=threshold,
        weights=_weights(options.hybrid_search),
        ranker="none" if options.ranker == "none" else "auto",
    )


def _result(hit: Hit) -> dict[str, object]:
    return {
        "file_id": hit.file_id,
        "filename": hit.filename,
        "score": hit.score,
        "attributes": shown_attributes(hit.attributes),
        "content": [{"type": "text", "text": hit.text}],
    }


async def search(request: Request) -> Response:
    """Return the best passages of a store."""
    body = await read_json(request, _search)
    queries = _queries(body.query)
    hits = await search_of(request).search(
        [request.path_params["store_id"]], queries, filter=filter_of(body.filters), ranking=_ranking(body)
    )
    return json_reply(
        {
            "object": "vector_store.search_results.page",
            "search_query": queries,
            "data": [_result(hit) for hit in hits],
            "has_more": False,
            "next_page": None,
        }
    )


routes: list[BaseRoute] = [Route("/v1/vector_stores/{store_id}/search", search, methods=["POST"])]
