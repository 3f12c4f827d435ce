"""A connection to a real MCP server: slow, dying, refused and redirecting servers, and what is left behind."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sites import Page, Site, site
from tool_server import TOKEN, ToolServer, tool_server

from onward.core.tools import Access
from onward.egress.client import GuardedClient
from onward.tools.mcp.connection import Connection, ServerFault


@pytest.fixture(scope="module")
def tools() -> Iterator[ToolServer]:
    with tool_server() as one:
        yield one


@asynccontextmanager
async def connected(
    url: str, *headers: tuple[str, str], allow: Sequence[str] = ("127.0.0.1",), **options: Any
) -> AsyncGenerator[Connection]:
    egress = GuardedClient(allow, **options)
    connection = Connection(Access(url, headers), egress)
    try:
        yield connection
    finally:
        await connection.aclose()
        await egress.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in others if task.get_name() == "mcp"]


async def add(connection: Connection, *, seconds: float = 20.0) -> Any:
    result = await connection.request(lambda client: client.call_tool("add", {"a": 1, "b": 2}), seconds=seconds)
    return result.content[0]


async def fault_of(connection: Connection, *, seconds: float = 20.0) -> ServerFault:
    with pytest.raises(ServerFault) as caught:
        await add(connection, seconds=seconds)
    return caught.value


def test_one_session_serves_the_calls_of_a_turn(tools: ToolServer) -> None:
    async def main() -> None:
        before = tools.count("initialize")
        async with connected(f"{tools.url}/legacy") as connection:
            for _ in range(3):
                assert (await add(connection)).text == "The sum is 3."
        assert tools.count("initialize") == before + 1
        ended = [one for one in tools.asked()["requests"] if one["verb"] == "DELETE"]
        assert ended and ended[-1]["path"] == "/legacy"

    asyncio.run(main())


def test_a_slow_call_ends_in_time_and_the_next_one_is_served(tools: ToolServer) -> None:
    async def main() -> None:
        cancelled = tools.asked()["cancelled"]
        async with connected(f"{tools.url}/mcp") as connection:
            assert (await add(connection)).text == "The sum is 3."
            with pytest.raises(ServerFault) as caught:
                await connection.request(lambda client: client.call_tool("wait", {}), seconds=0.3)
            assert (caught.value.kind, caught.value.code) == ("http_error", 504)
            assert (await add(connection)).text == "The sum is 3."
        await asyncio.to_thread(tools.until, lambda asked: asked["cancelled"] > cancelled)

    asyncio.run(main())


def test_a_cancelled_caller_is_cancelled_and_nothing_is_left(tools: ToolServer) -> None:
    async def main() -> None:
        async with connected(f"{tools.url}/mcp") as connection:
            calls = tools.asked()["calls"].count(["wait", {}])
            asked = connection.request(lambda client: client.call_tool("wait", {}), seconds=30)
            waiting = asyncio.ensure_future(asked)
            await asyncio.to_thread(tools.until, lambda asked: asked["calls"].count(["wait", {}]) > calls)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_a_server_that_dies_during_a_call_is_a_fault() -> None:
    async def main(tools: ToolServer) -> None:
        async with connected(f"{tools.url}/mcp") as connection:
            asked = connection.request(lambda client: client.call_tool("wait", {}), seconds=30)
            waiting = asyncio.ensure_future(asked)
            await asyncio.to_thread(tools.until, lambda asked: bool(asked["calls"]))
            tools.process.kill()
            with pytest.raises(ServerFault):
                await waiting
            assert (await fault_of(connection)).kind == "http_error"

    with tool_server() as tools:
        asyncio.run(main(tools))


def test_a_name_that_leads_inside_is_refused(tools: ToolServer) -> None:
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def main() -> None:
        before = len(tools.asked()["requests"])
        url = f"http://tools.example:{tools.port}/mcp?key=secret"
        async with connected(url, allow=(), lookup=inside) as connection:
            fault = await fault_of(connection)
        assert fault.kind == "http_error" and "not a public address" in fault.message and "secret" not in fault.message
        assert len(tools.asked()["requests"]) == before

    asyncio.run(main())


def test_credentials_do_not_follow_a_redirect_to_another_origin(tools: ToolServer) -> None:
    async def main(web: Site, other: Site) -> None:
        async with connected(web.url("/mcp"), ("Authorization", f"Bearer {TOKEN}")) as connection:
            fault = await fault_of(connection)
        assert web.asked and all(one.headers["authorization"] == f"Bearer {TOKEN}" for one in web.asked)
        assert other.asked == [] and TOKEN not in fault.message

    with site({}) as other:
        away = Page(b"", status=307, headers={"Location": other.url("/mcp")})
        with site(lambda _: away) as web:
            asyncio.run(main(web, other))


@pytest.mark.parametrize(
    ("page", "kind", "code"),
    [
        (Page(b"no", status=401), "http_error", 401),
        (Page(b"no", status=503), "http_error", 503),
        (Page(b"<html>hello</html>", "text/html"), "mcp_protocol_error", None),
        (Page(b"{}", "application/json"), "mcp_protocol_error", None),
        (Page(b"data: nonsense\n\n", "text/event-stream"), "mcp_protocol_error", None),
    ],
)
def test_what_is_no_tool_server_is_a_fault_in_words(page: Page, kind: str, code: int | None) -> None:
    async def main(web: Site) -> None:
        async with connected(web.url("/mcp")) as connection:
            fault = await fault_of(connection)
        assert fault.kind == kind and fault.message and (code is None or fault.code == code)

    with site(lambda _: page) as web:
        asyncio.run(main(web))


def test_nobody_listening_is_a_fault() -> None:
    async def main() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{probe.getsockname()[1]}/mcp"
        async with connected(url) as connection:
            fault = await fault_of(connection)
        assert fault.kind == "http_error" and "cannot be reached" in fault.message

    asyncio.run(main())
