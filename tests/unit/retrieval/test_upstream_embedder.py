"""The upstream embedder against a real HTTP server that misbehaves on demand."""

import asyncio
import json
import math
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from onward.ports.embed import EmbedError
from onward.retrieval.embed.upstream import MAX_TEXTS, UpstreamEmbedder, retry_after, split_batches

Handler = Callable[[dict[str, Any], web.Request], web.Response]


def serve(handler: Handler, body: Callable[[UpstreamEmbedder], Awaitable[None]]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return handler(await request.json(), request)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/embeddings", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        embedder = UpstreamEmbedder(f"http://127.0.0.1:{port}/v1/", model="m", api_key="k")
        try:
            await body(embedder)
        finally:
            await embedder.aclose()
            await runner.cleanup()

    asyncio.run(main())


def vectors_for(texts: list[str]) -> web.Response:
    data = [{"index": i, "embedding": [float(len(text)), 1.0, 0.0]} for i, text in enumerate(texts)]
    return web.json_response({"data": data[::-1], "model": "m"})


def test_batches_keep_their_order_and_come_at_unit_length() -> None:
    sizes: list[int] = []

    def handler(body: dict[str, Any], request: web.Request) -> web.Response:
        assert (body["model"], request.headers["Authorization"]) == ("m", "Bearer k")
        sizes.append(len(body["input"]))
        return vectors_for(body["input"])

    async def body(embedder: UpstreamEmbedder) -> None:
        texts = ["x" * (n + 1) for n in range(200)]
        vectors = await embedder.embed(texts, lane="ingest")
        assert (vectors.rows, vectors.dimensions, embedder.dimensions) == (200, 3, 3)
        for n in (0, 95, 96, 199):
            row = array("f", vectors.row(n))
            assert math.isclose(row[0] / row[1], n + 1, rel_tol=1e-4)
            assert math.isclose(math.fsum(x * x for x in row), 1, rel_tol=1e-4)

    serve(handler, body)
    assert sizes == [96, 96, 8]


def test_a_busy_upstream_is_asked_again_after_the_time_it_names() -> None:
    answers = [
        web.Response(status=429, headers={"Retry-After": "0"}),
        web.Response(status=503, headers={"Retry-After": "0"}),
    ]

    def handler(body: dict[str, Any], request: web.Request) -> web.Response:
        return answers.pop(0) if answers else vectors_for(body["input"])

    async def body(embedder: UpstreamEmbedder) -> None:
        assert (await embedder.embed(["a"], lane="query")).rows == 1

    serve(handler, body)
    assert not answers


def test_a_refusal_is_told_at_once() -> None:
    calls: list[int] = []

    def handler(body: dict[str, Any], request: web.Request) -> web.Response:
        calls.append(1)
        return web.Response(status=401, text="bad key")

    async def body(embedder: UpstreamEmbedder) -> None:
        with pytest.raises(EmbedError, match=r"HTTP 401: bad key") as caught:
            await embedder.embed(["a"], lane="query")
        assert not caught.value.retryable

    serve(handler, body)
    assert len(calls) == 1


def test_lasting_trouble_and_nonsense_end_as_errors() -> None:
    def busy(body: dict[str, Any], request: web.Request) -> web.Response:
        return web.Response(status=500, headers={"Retry-After": "0"})

    async def fails(embedder: UpstreamEmbedder) -> None:
        with pytest.raises(EmbedError, match="failed 5 times") as caught:
            await embedder.embed(["a"], lane="query")
        assert caught.value.retryable

    serve(busy, fails)

    def wrong(body: dict[str, Any], request: web.Request) -> web.Response:
        if body["input"] == ["few"]:
            return vectors_for([])
        return web.Response(text=json.dumps({"data": "?"}))

    async def nonsense(embedder: UpstreamEmbedder) -> None:
        with pytest.raises(EmbedError, match="nonsense"):
            await embedder.embed(["a"], lane="query")
        with pytest.raises(EmbedError, match="0 vectors for 1"):
            await embedder.embed(["few"], lane="query")

    serve(wrong, nonsense)


def test_batches_respect_count_and_size() -> None:
    assert [len(b) for b in split_batches(["a"] * (MAX_TEXTS + 1))] == [MAX_TEXTS, 1]
    assert [len(b) for b in split_batches(["a" * 200_000] * 3)] == [1, 1, 1]
    assert split_batches([]) == []


def test_retry_after_has_two_forms() -> None:
    assert (retry_after("7"), retry_after(None), retry_after("soon")) == (7.0, None, None)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
