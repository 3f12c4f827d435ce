"""`/v1/embeddings`: texts or token arrays to vectors, served by the embedder that also serves file_search."""

import asyncio
import math
import sys
from array import array
from base64 import b64encode
from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.errors import out_of_range, too_long
from onward.api.reply import json_reply
from onward.api.resources.access import embedder_of
from onward.core.errors import RequestError, UpstreamError
from onward.core.tokens import estimate_tokens
from onward.ports.embed import EmbedError, Lane, Vectors

MAX_INPUTS: Final = 2048
MAX_TOKENS: Final = 300_000
QUERY_CHARACTERS: Final = 8_000
"""A larger request is embedded in the lane of ingestion, so that it does not hold back searches."""
TOKEN_ENCODING: Final = "cl100k_base"
"""The encoding of OpenAI's embedding models, in which clients send token arrays."""


class Embeddings(Struct, frozen=True):
    """The body of a request."""

    input: str | list[str | int | list[int]]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


_decoder = msgspec.json.Decoder(Embeddings)


def _decode_tokens(arrays: list[list[int]]) -> list[str]:
    import bpe_openai

    encoding = bpe_openai.get_encoding(TOKEN_ENCODING)
    texts: list[str] = []
    for index, tokens in enumerate(arrays):
        try:
            if any(token < 0 for token in tokens):
                raise ValueError("negative token")
            texts.append(str(encoding.decode(tokens)))
        except Exception as error:
            raise RequestError(
                f"Invalid 'input[{index}]': the tokens are not of the encoding '{TOKEN_ENCODING}'. Send text instead.",
                param="input",
                code="invalid_value",
            ) from error
    return texts


async def _texts(raw: str | list[str | int | list[int]]) -> list[str]:
    if isinstance(raw, str):
        return [raw]
    if len(raw) > MAX_INPUTS:
        raise too_long("input", len(raw), maximum=MAX_INPUTS, kind="array")
    strings = [one for one in raw if isinstance(one, str)]
    if len(strings) == len(raw):
        return strings
    numbers = [one for one in raw if isinstance(one, int)]
    arrays = [numbers] if len(numbers) == len(raw) else [one for one in raw if isinstance(one, list)]
    if len(numbers) != len(raw) and len(arrays) != len(raw):
        raise RequestError(
            "Invalid type for 'input': send a string, an array of strings, an array of tokens or an array of those.",
            param="input",
            code="invalid_type",
        )
    return await asyncio.to_thread(_decode_tokens, arrays)


def _check(texts: list[str]) -> int:
    """Return the number of tokens, estimated. Raises RequestError."""
    if not texts or not all(texts):
        raise RequestError("Invalid 'input': it must not be empty.", param="input", code="invalid_value")
    tokens = sum(estimate_tokens(text.encode("utf-8", "replace")) for text in texts)
    if tokens > MAX_TOKENS:
        raise RequestError(
            f"Invalid 'input': about {tokens} tokens in one request, the maximum is {MAX_TOKENS}. Send several.",
            param="input",
            code="max_tokens_per_request",
        )
    return tokens


def _rows(vectors: Vectors, dimensions: int | None) -> list[bytes]:
    rows = [vectors.row(index) for index in range(vectors.rows)]
    if dimensions is None or dimensions == vectors.dimensions:
        return rows
    return [_shorten(row, dimensions) for row in rows]


def _floats(row: bytes) -> "array[float]":
    values = array("f")
    values.frombytes(row)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _shorten(row: bytes, dimensions: int) -> bytes:
    """Return the leading dimensions as a unit vector again."""
    values = _floats(row)[:dimensions]
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    short = array("f", (value / norm for value in values))
    if sys.byteorder == "big":
        short.byteswap()
    return short.tobytes()


def _render(vectors: Vectors, body: Embeddings, model: str, tokens: int) -> bytes:
    rows = _rows(vectors, body.dimensions)
    shown = (
        [b64encode(row).decode("ascii") for row in rows]
        if body.encoding_format == "base64"
        else [_floats(row).tolist() for row in rows]
    )
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


async def create(request: Request) -> Response:
    """Embed the inputs of a request."""
    body = await read_json(request, _decoder)
    texts = await _texts(body.input)
    tokens = _check(texts)
    embedder = embedder_of(request)
    if body.dimensions is not None and body.dimensions < 1:
        raise out_of_range("dimensions", body.dimensions, low=1)
    lane: Lane = "query" if sum(map(len, texts)) <= QUERY_CHARACTERS else "ingest"
    try:
        vectors = await embedder.embed(texts, lane=lane)
    except EmbedError as error:
        raise UpstreamError(str(error)) from error
    if body.dimensions is not None and body.dimensions > vectors.dimensions:
        raise RequestError(
            f"Invalid 'dimensions': the model '{embedder.model}' that serves embeddings here has "
            f"{vectors.dimensions} dimensions, but {body.dimensions} were asked for.",
            param="dimensions",
            code="invalid_value",
        )
    return json_reply(await asyncio.to_thread(_render, vectors, body, embedder.model, tokens))


routes: list[BaseRoute] = [Route("/v1/embeddings", create, methods=["POST"])]
