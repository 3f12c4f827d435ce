"""Finding and starting the embedder's child process of a data directory.

Whoever cannot connect starts one; the child's own file lock lets only one live. It knows no model.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import onward
from onward.ports.embed import EmbedError

MAX_SOCKET_PATH = 100
"""Bytes: the kernel allows 107 on Linux and 103 on macOS."""
ALREADY_RUNNING = 3


def socket_path(data: Path) -> Path:
    """Return the socket of a data directory, in the temp directory where the path would be too long."""
    path = data.resolve() / "embedder.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"onward-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmbedError(f"{folder} belongs to another user.", retryable=False)
    return folder / f"{digest}.sock"


class Child:
    """Starts the process where none runs, and reports why one would not start."""

    def __init__(self, data: Path, *, linger: float | None = None) -> None:
        self.socket = socket_path(data)
        self._lock = data / "embedder.lock"
        self._log = data / "embedder.log"
        self._linger = linger
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the child unless one started here is still alive; raises EmbedError when it failed to start."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code not in (0, ALREADY_RUNNING) and code > 0:
                raise EmbedError(f"The embedder could not start: {self._last_words()}")
        source = str(Path(onward.__file__).resolve().parents[1])
        inherited = os.environ.get("PYTHONPATH")
        environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{inherited}" if inherited else source}
        command = [sys.executable, "-m", "onward.retrieval.embed.server", str(self.socket), str(self._lock)]
        command += [] if self._linger is None else [str(self._linger)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def reap(self) -> None:
        """Collect the exit code of a child that has ended."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."
