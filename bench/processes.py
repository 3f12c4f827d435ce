"""Starts and stops the servers of a run, each a process of its own on a free port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct


class Server(Struct, frozen=True):
    """A running server."""

    port: int
    process: int
    started_in: float


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(arguments: list[str], environment: Mapping[str, str], *, ready: str | None = None) -> Generator[Server]:
    """Run `python ARGUMENTS` with a free PORT (`{port}` in arguments) until the block ends; wait until it listens."""
    port = free_port()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *(argument.replace("{port}", str(port)) for argument in arguments)],
        env=os.environ | {"PORT": str(port), "PYTHONUNBUFFERED": "1"} | dict(environment),
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(port, process, ready)
        yield Server(port, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], ready: str | None) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("a server ended while starting")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                if ready is None:
                    return
                probe.sendall(f"GET {ready} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                if b" 200 " in probe.recv(64):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError("a server did not start within 30 s")


def tree_pss(process: int) -> int:
    """Return the proportional memory of a process and its children, in bytes."""
    total = 0
    pending = [process]
    while pending:
        pid = pending.pop()
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            pending += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total
