"""A mock upstream that costs as little as possible: canned chat completions, read but not parsed requests.

`/n/{tokens}/p/{milliseconds}/v1/chat/completions` streams that many tokens, that far apart (0: in writes of 16).
"""

import asyncio
import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

WRITE = 16
_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%b}]}\n\n'
)
_LAST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":9}}\n\ndata: [DONE]\n\n'
)
_WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"%b"}}],"usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17}}'
)
ANSWER = b"It depends on the day and on the weather there."


def token(number: int) -> bytes:
    """Return the chunk of one token."""
    return _CHUNK % (b'{"content":" word%d"}' % (number % 100))


async def _paced(tokens: int, pause: float):
    for number in range(tokens):
        yield token(number)
        await asyncio.sleep(pause)
    yield _LAST % tokens


async def _at_once(tokens: int):
    for start in range(0, tokens, WRITE):
        yield b"".join(token(number) for number in range(start, min(tokens, start + WRITE)))
        await asyncio.sleep(0)
    yield _LAST % tokens


async def chat(request: Request) -> Response:
    """Answer a chat completion."""
    body = await request.body()
    tokens, pause = int(request.path_params["tokens"]), int(request.path_params["pause"]) / 1000
    if b'"stream":true' not in body:
        return Response(_WHOLE % ANSWER, media_type="application/json")
    frames = _paced(tokens, pause) if pause else _at_once(tokens)
    return StreamingResponse(frames, media_type="text/event-stream")


app = Starlette(routes=[Route("/n/{tokens}/p/{pause}/v1/chat/completions", chat, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="error", access_log=False)
