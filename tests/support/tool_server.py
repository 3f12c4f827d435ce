"""A real MCP server, made with the official SDK, in a process of its own: `with tool_server() as tools`.

`/mcp` is open, `/closed` wants the token TOKEN, `/legacy` knows only the handshake of 2025, `/old/sse` speaks the older
transport; `/asked` tells what came.
"""

import argparse
import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from servers import free_port, running, wait_until_ready

TOKEN = "secret-token"


class ToolServer:
    """A running server."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    def asked(self) -> dict[str, Any]:
        """Return `requests` (path, headers, JSON-RPC method), `calls` (tool, arguments) and `cancelled`."""
        with urllib.request.urlopen(f"{self.url}/asked") as answer:
            return json.load(answer)

    def count(self, method: str) -> int:
        """Return how often a JSON-RPC method was asked for."""
        return sum(1 for request in self.asked()["requests"] if request["method"] == method)

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> None:
        """Return once something was asked of the server. Raises AssertionError where it is not in time."""
        deadline = time.monotonic() + 30
        while not happened(self.asked()):
            assert time.monotonic() < deadline

    def tool(self, path: str = "/mcp", **options: Any) -> Any:
        """Return the declaration of this server in a request."""
        return {"type": "mcp", "server_label": "desk", "server_url": f"{self.url}{path}", **options}


@contextmanager
def tool_server() -> Generator[ToolServer]:
    """Run the server for the length of a block."""
    port = free_port()
    with running([__file__, "--port", str(port)], {}) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/asked", process)
        yield ToolServer(port, process)


class _Desk:
    """The tools, and what was asked of them."""

    def __init__(self) -> None:
        from mcp.server.mcpserver import MCPServer
        from mcp_types import ImageContent, TextContent, ToolAnnotations

        self.requests: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = 0
        self.server = MCPServer("desk")
        reads = ToolAnnotations(read_only_hint=True)

        @self.server.tool(description="Add two numbers.", annotations=reads)
        def add(a: int, b: int) -> str:
            self.calls.append(("add", {"a": a, "b": b}))
            return f"The sum is {a + b}."

        @self.server.tool(name="note.write", description="Write a note down.")
        def write(words: str) -> str:
            self.calls.append(("note.write", {"words": words}))
            return f"Noted: {words}"

        @self.server.tool(description="Fail.", annotations=reads)
        def fail() -> str:
            self.calls.append(("fail", {}))
            raise ValueError("the drawer is stuck")

        @self.server.tool(description="Draw.", annotations=reads)
        def draw() -> list[TextContent | ImageContent]:
            return [
                TextContent(type="text", text="a dot"),
                ImageContent(type="image", data="AAAA", mime_type="image/png"),
            ]

        @self.server.tool(description="Wait for ever.", annotations=reads)
        async def wait() -> str:
            self.calls.append(("wait", {}))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "never"

        self.current = self.server.streamable_http_app(streamable_http_path="/mcp")
        self.old = self.server.sse_app(sse_path="/sse", message_path="/old/messages/")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.current(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["path"]
        if path == "/asked":
            await self._tell(send)
            return
        message = await receive()
        method = _method(message.get("body", b""))
        self.requests.append({"path": path, "headers": headers, "method": method, "verb": scope["method"]})
        if path == "/closed" and headers.get("authorization") != f"Bearer {TOKEN}":
            await _answer(send, 401, b'{"error":"who are you?"}')
            return
        if path == "/legacy" and method == "server/discover":
            await _answer(send, 400, b"Bad Request: Server not initialized")
            return
        given = [message]

        async def again() -> Any:
            return given.pop() if given else await receive()

        if path.startswith("/old"):
            await self.old(scope | {"path": path.removeprefix("/old") if path == "/old/sse" else path}, again, send)
        else:
            await self.current(scope | {"path": "/mcp"}, again, send)

    async def _tell(self, send: Any) -> None:
        body = {"requests": self.requests, "calls": self.calls, "cancelled": self.cancelled}
        await _answer(send, 200, json.dumps(body).encode())


def _method(body: bytes) -> str | None:
    try:
        return json.loads(body).get("method")
    except (ValueError, AttributeError):
        return None


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until a signal."""
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(_Desk(), host="127.0.0.1", port=port, log_level="error", access_log=False, timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
