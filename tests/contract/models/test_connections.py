"""Connections that break in ways no well-behaved server shows."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from model_calls import MakeModel, ask, collect, finish, texts

from onward.core.errors import OnwardError, UpstreamError, UpstreamTimeout
from onward.models.chat_completions import Retries, Timeouts
from onward.ports.model import ModelEvent

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[tuple[str, list[int]]]:
    """Serve `answer`, called with the number of the request from 0; yields the base URL and the numbers so far."""
    numbers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await read_request(reader)
                numbers.append(len(numbers))
                await answer(reader, writer, numbers[-1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", numbers


def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_reset_in_the_middle_of_a_stream(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HEAD + chunk(TEXT))
        await writer.drain()
        await relayed.wait()
        reset(writer)

    relayed = asyncio.Event()
    async with serving(answer) as (url, numbers):
        model = make_model(base_url=url)
        events: list[ModelEvent] = []

        async def listen() -> None:
            async with model.call(ask(model, "hi")) as batches:
                async for batch in batches:
                    events.extend(batch)
                    relayed.set()

        with pytest.raises(UpstreamError) as caught:
            await listen()
        assert caught.value.code == "upstream_cut"
        assert texts(events) == ["hi"]
        assert numbers == [0]


async def test_reset_after_the_answer_was_complete(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HEAD + chunk(TEXT + STOP))
        await writer.drain()
        writer.close()

    async with serving(answer) as (url, _):
        model = make_model(base_url=url)
        events = await collect(model, ask(model, "hi"))
        assert texts(events) == ["hi"]
        assert finish(events) == "stop"


async def test_lost_before_anything_was_relayed_is_tried_again(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            reset(writer)
        elif number == 1:
            writer.write(HEAD + chunk(b": ping\n\n"))
            await writer.drain()
            writer.close()
        else:
            writer.write(HEAD + chunk(TEXT + STOP + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async with serving(answer) as (url, numbers):
        model = make_model(base_url=url)
        assert texts(await collect(model, ask(model, "hi"))) == ["hi"]
        assert numbers == [0, 1, 2]


async def test_a_kept_connection_that_was_closed_is_no_fault(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 1:
            reset(writer)
        else:
            writer.write(HEAD + chunk(TEXT + STOP + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async with serving(answer) as (url, numbers):
        model = make_model(base_url=url, retries=Retries(limit=0))
        for _ in range(2):
            assert texts(await collect(model, ask(model, "hi"))) == ["hi"]
        assert numbers == [0, 1, 2]


async def test_an_upstream_that_never_closes_is_left_after_done(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HEAD + chunk(TEXT + STOP + b"data: [DONE]\n\n"))
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(answer) as (url, _):
        model = make_model(base_url=url)
        async with asyncio.timeout(5):
            assert texts(await collect(model, ask(model, "hi"))) == ["hi"]


async def test_pings_do_not_keep_an_answer_alive_for_ever(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HEAD)
        while True:
            writer.write(chunk(b": ping\n\n"))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(answer) as (url, _):
        model = make_model(base_url=url, timeouts=Timeouts(total=0.3))
        with pytest.raises(UpstreamTimeout):
            await collect(model, ask(model, "hi"))


async def test_no_http_at_all(make_model: MakeModel) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(b"220 mail ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with serving(answer) as (url, _):
        model = make_model(base_url=url)
        with pytest.raises(OnwardError) as caught:
            await collect(model, ask(model, "hi"))
        assert caught.value.http_status == 502
