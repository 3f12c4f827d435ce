"""Real processes over HTTP: `onward serve`, a scripted upstream, and the SDK pointed at them.

`ONWARD_TEST_WORKERS=3` starts every server with three processes on its store. `ONWARD_TEST_PYTHON` names the Python
that has Onward, so that the tests can run in an environment with another line of the SDK.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from openai import OpenAI

START_SECONDS = 30.0
PYTHON = os.environ.get("ONWARD_TEST_PYTHON", sys.executable)


class Server:
    """A running `onward serve`, or a scripted upstream: a base URL, a data directory and a process."""

    def __init__(self, port: int, data: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.data = data
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.url}/v1"
        self._clients: list[OpenAI] = []

    def client(self, *, api_key: str = "none", max_retries: int = 0, strict: bool = True) -> OpenAI:
        """Return the real SDK, pointed here; `strict` checks every body and event against the SDK's types."""
        client = OpenAI(
            base_url=self.base_url,
            api_key=api_key,
            max_retries=max_retries,
            timeout=60,
            _strict_response_validation=strict,
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close every client that was handed out."""
        for client in self._clients:
            client.close()

    def kill(self) -> None:
        """Kill the process as `kill -9` does, and the processes that it started."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = listed.read_text().split() if listed.exists() else []
        self.process.kill()
        self.process.wait()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once `url` answers. Raises AssertionError where the process ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended while starting"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"{url} did not answer")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings of the machine's own, and with `extra`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ONWARD_", "OPENAI_"))}
    return clean | dict(extra)


@contextmanager
def running(arguments: list[str], environment: Mapping[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Run `python ARGUMENTS` for the length of a block."""
    process = subprocess.Popen([PYTHON, *arguments], env=clean_environment(environment))
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serve(data: Path, environment: Mapping[str, str], *, port: int | None = None) -> Generator[Server]:
    """Run `onward serve` on a data directory."""
    chosen = port or free_port()
    arguments = ["-m", "onward", "serve", "--port", str(chosen), "--data", str(data)]
    workers = os.environ.get("ONWARD_TEST_WORKERS")
    extra = {"ONWARD_WORKERS": workers} if workers else {}
    with running(arguments, {"ONWARD_LOG_LEVEL": "warning"} | extra | dict(environment)) as process:
        wait_until_ready(f"http://127.0.0.1:{chosen}/health", process)
        server = Server(chosen, data, process)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def upstream_of(rules: list[Any]) -> Generator[Server]:
    """Run a scripted upstream that plays `rules`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        script.write_text(json.dumps({"rules": rules}))
        port = free_port()
        arguments = ["-m", "onward.testing.upstream", "--port", str(port), "--script", str(script)]
        with running(arguments, {}) as process:
            wait_until_ready(f"http://127.0.0.1:{port}/requests", process)
            yield Server(port, Path(folder), process)


@contextmanager
def scripted(rules: list[Any], **environment: str) -> Generator[tuple[OpenAI, Server]]:
    """Run a server over an upstream that plays `rules`; yields the SDK and the upstream."""
    with (
        upstream_of(rules) as upstream,
        serve(upstream.data / "data", {"OPENAI_BASE_URL": upstream.base_url} | environment) as server,
    ):
        yield server.client(), upstream
