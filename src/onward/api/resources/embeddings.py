"""`/v1/embeddings`: texts or token arrays to vectors, served by the embedder that also serves file_search."""

import asyncio
import math
import sys
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Final, Literal

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

if TYPE_CHECKING:
    from bpe_openai import Encoding

MAX_INPUTS: Final = 2048
MAX_INPUT_TOKENS: Final = 8192
MAX_TOKENS: Final = 300_000
MAX_COUNTED: Final = 900_000
QUERY_CHARACTERS: Final = 8_000
"""A larger request is embedded in the lane of ingestion, so that it does not hold back searches."""
TOKEN_ENCODING: Final = "cl100k_base"
"""The encoding of OpenAI's embedding models: clients send token arrays in it and cut their texts by it, so that limits
and usage count its tokens whichever model embeds."""


class Embeddings(Struct, frozen=True):
    """The body of a request."""

    input: str | list[str | int | list[int]]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


_decoder = msgspec.json.Decoder(Embeddings)


class Read(Struct, frozen=True):
    """Texts to embed and the number of their tokens together."""

    texts: list[str]
    tokens: int


def _read(inputs: list[str] | list[list[int]]) -> Read:
    """Return texts and their exact number of tokens. Raises RequestError for an empty, too long or undecodable one."""
    import bpe_openai

    encoding = bpe_openai.get_encoding(TOKEN_ENCODING)
    texts: list[str] = []
    total = 0
    for index, one in enumerate(inputs):
        if not one:
            raise RequestError("Invalid 'input': it must not be empty.", param="input", code="invalid_value")
        tokens = _count(encoding, one) if isinstance(one, str) else len(one)
        if tokens > MAX_INPUT_TOKENS:
            raise _too_many(tokens)
        total += tokens
        if total > MAX_TOKENS:
            raise RequestError(
                f"Invalid 'input': more than {MAX_TOKENS} tokens, the maximum of one request. Send several requests.",
                param="input",
                code="max_tokens_per_request",
            )
        texts.append(one if isinstance(one, str) else _decode(encoding, one, index))
    return Read(texts, total)


def _count(encoding: "Encoding", text: str) -> int:
    # The tokenizer refuses a million characters. A text of that length is too long by far, however it is counted.
    if len(text) > MAX_COUNTED:
        return max(estimate_tokens(text), MAX_INPUT_TOKENS + 1)
    from bpe_openai.errors import TokenLimitError

    try:
        return len(encoding.encode_ordinary(text))
    except TokenLimitError as error:
        return error.token_count


def _decode(encoding: "Encoding", tokens: list[int], index: int) -> str:
    try:
        if any(token < 0 for token in tokens):
            raise ValueError("negative token")
        return str(encoding.decode(tokens))
    except Exception as error:
        raise RequestError(
            f"Invalid 'input[{index}]': the tokens are not of the encoding '{TOKEN_ENCODING}'. Send text instead.",
            param="input",
            code="invalid_value",
        ) from error


def _too_many(tokens: int) -> RequestError:
    return RequestError(
        f"This model's maximum context length is {MAX_INPUT_TOKENS} tokens, however you requested {tokens} tokens "
        f"({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
    )


def _inputs(raw: str | list[str | int | list[int]]) -> list[str] | list[list[int]]:
    """Return the inputs as one list of one kind. Raises RequestError."""
    if isinstance(raw, str):
        return [raw]
    strings = [one for one in raw if isinstance(one, str)]
    numbers = [one for one in raw if isinstance(one, int)]
    if numbers and len(numbers) == len(raw):
        return [numbers]
    if len(raw) > MAX_INPUTS:
        raise too_long("input", len(raw), maximum=MAX_INPUTS, kind="array")
    if not raw:
        raise RequestError("Invalid 'input': it must not be empty.", param="input", code="invalid_value")
    if len(strings) == len(raw):
        return strings
    arrays = [one for one in raw if isinstance(one, list)]
    if len(arrays) != len(raw):
        raise RequestError(
            "Invalid type for 'input': send a string, an array of strings, an array of tokens or an array of those.",
            param="input",
            code="invalid_type",
        )
    return arrays


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
    given = await asyncio.to_thread(_read, _inputs(body.input))
    texts = given.texts
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
    return json_reply(await asyncio.to_thread(_render, vectors, body, embedder.model, given.tokens))


routes: list[BaseRoute] = [Route("/v1/embeddings", create, methods=["POST"])]
