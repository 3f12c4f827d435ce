"""Finding and starting the embedder's child process of a data directory.

Whoever cannot connect starts one; the child's own file lock lets only one live. It knows no model.
"""

from __future__ import annotations

import hashlib
import os
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
        self._pid: int | None = None

    def ensure(self) -> None:
        """Start the child unless one started here is still alive; raises EmbedError when it failed to start."""
        code = self.reap()
        if code is not None and code > 0 and code != ALREADY_RUNNING:
            raise EmbedError(f"The embedder could not start: {self._last_words()}")
        if self._pid is None:
            self._pid = self._spawn()

    def reap(self) -> int | None:
        """Collect the exit code of a child that has ended (below 0: a signal); None while it lives."""
        if self._pid is None:
            return None
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._pid, 0
        if pid == 0:
            return None
        self._pid = None
        return os.waitstatus_to_exitcode(status)

    def _spawn(self) -> int:
        """Start a process that outlives this one: other processes may be using it by then."""
        source = str(Path(onward.__file__).resolve().parents[1])
        inherited = os.environ.get("PYTHONPATH")
        environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{inherited}" if inherited else source}
        command = [sys.executable, "-m", "onward.retrieval.embed.server", str(self.socket), str(self._lock)]
        command += [] if self._linger is None else [str(self._linger)]
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            return os.posix_spawn(sys.executable, command, environment, file_actions=actions, setsid=True)
        finally:
            os.close(log)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."
