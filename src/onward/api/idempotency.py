"""`Idempotency-Key`: a request that is sent again gets the answer of the first one, and does nothing twice."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from onward.api.body import read_body
from onward.api.reply import json_reply
from onward.api.services import project_of
from onward.core.errors import ConflictError, RequestError
from onward.core.turns import Claim
from onward.ports.idempotency import Claimed

MAX_KEY: Final = 255
MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer that is kept; the key of a larger one is refused a second time."""

Handler = Callable[[Request], Awaitable[Response]]


async def claim_of(request: Request) -> Claim | None:
    """Return the claim of a request with a key, None without one. Raises RequestError."""
    key = request.headers.get("idempotency-key", "").strip()
    if not key:
        return None
    if len(key) > MAX_KEY:
        raise RequestError(f"The header 'Idempotency-Key' is too long: at most {MAX_KEY} characters.")
    if request.headers.get("content-type", "").startswith("multipart/"):
        # Its parts are streamed to disk: what is known before is how long it is.
        told = request.headers.get("content-length", "").encode()
    else:
        told = await read_body(request)
        request._body = told
    return Claim(request.url.path, key, sha256(told).digest())


def check_same(claim: Claim, claimed: Claimed) -> None:
    """Raise RequestError where a key was used with another body."""
    if claim.digest != claimed.digest:
        raise RequestError(
            "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            code="idempotency_key_reused",
        )


def conflict() -> ConflictError:
    """Return the error for a key whose answer cannot be given again, or is not there yet."""
    return ConflictError(
        "A request with this Idempotency-Key was made before, and its answer was not kept or is not there yet.",
        code="idempotency_conflict",
    )


async def answer_unstored(request: Request, claim: Claim, create: Handler) -> Response:
    """Answer a request whose answer is not kept: under its key, once. Raises ConflictError for a repetition."""
    keys = project_of(request).idempotency
    if not await keys.take(claim):
        found = await keys.find(claim)
        if found is not None:
            check_same(claim, found)
        raise conflict()
    try:
        return await create(request)
    except BaseException:
        await keys.free(claim)
        raise


def idempotent(handler: Handler) -> Handler:
    """Return `handler` such that a key gets one answer; an answer that is no success frees its key."""

    async def answer_once(request: Request) -> Response:
        claim = await claim_of(request)
        if claim is None:
            return await handler(request)
        keys = project_of(request).idempotency
        if not await keys.take(claim):
            return _again(claim, await keys.find(claim))
        try:
            reply = await handler(request)
        except BaseException:
            await keys.free(claim)
            raise
        if reply.status_code >= 300:
            await keys.free(claim)
        elif len(reply.body) <= MAX_ANSWER:
            await keys.answer(claim, status=reply.status_code, body=bytes(reply.body))
        return reply

    answer_once.__doc__ = handler.__doc__
    return answer_once


def _again(claim: Claim, claimed: Claimed | None) -> Response:
    if claimed is None:
        raise conflict()
    check_same(claim, claimed)
    if claimed.status is None or claimed.body is None:
        raise conflict()
    return json_reply(claimed.body, status=claimed.status)
