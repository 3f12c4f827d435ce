"""A server as a child of a command: started like `onward serve`, awaited until it answers, stopped with the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from onward.settings import Settings

START_SECONDS = 60.0
STOP_SECONDS = 10.0


class ServerProcess:
    """`onward serve` on 127.0.0.1:`port`, with the settings of the command that starts it."""

    def __init__(self, settings: Settings, *, port: int, config: Path | None) -> None:
        self._url = f"http://127.0.0.1:{port}"
        arguments = [sys.executable, "-m", "onward", "serve", "--host", "127.0.0.1", "--port", str(port)]
        arguments += ["--data", settings.data]
        if config is not None:
            arguments += ["--config", str(config)]
        environment = os.environ | {"ONWARD_LOG_LEVEL": os.environ.get("ONWARD_LOG_LEVEL", "warning")}
        self._process = subprocess.Popen(arguments, env=environment)

    def wait_until_ready(self) -> None:
        """Return once the server answers. Raises ClickException where it ends or stays silent."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise click.ClickException("The server ended while starting; its message stands above.")
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise click.ClickException(f"The server did not answer within {START_SECONDS:.0f} s.")

    def wait(self) -> None:
        """Wait until the server ends."""
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
