"""Real servers and the real SDK: every conformance test talks HTTP to an `onward serve` process (see `servers`)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openai import OpenAI
from servers import Server, free_port, running, serve, wait_until_ready


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A scripted upstream with the default script, shared by the session."""
    port = free_port()
    with running(["-m", "onward.testing.upstream", "--port", str(port)], {}) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/requests", process)
        yield Server(port, tmp_path_factory.mktemp("upstream"), process)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Server) -> Iterator[Server]:
    """A server over the scripted upstream, shared by the session: tests make objects of their own."""
    with serve(tmp_path_factory.mktemp("data"), {"OPENAI_BASE_URL": upstream.base_url}) as running_server:
        yield running_server


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    """The real SDK, pointed at the shared server; without retries, so that an error is seen."""
    with server.client() as one:
        yield one


@pytest.fixture
def serve_here(tmp_path: Path, upstream: Server) -> Iterator[Callable[..., Server]]:
    """Start servers of a test's own: `serve_here(NAME=value)`; they end with the test."""
    with ExitStack() as stack:

        def start(*, data: Path | None = None, **environment: str) -> Server:
            merged = {"OPENAI_BASE_URL": upstream.base_url} | environment
            return stack.enter_context(serve(data or tmp_path / "data", merged))

        yield start
