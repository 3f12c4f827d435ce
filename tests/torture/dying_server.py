"""`onward serve` that kills itself, as `kill -9` does, at one commit: `dying_server.py FILE:WHEN:NUMBER serve ...`.

FILE is `state`, `events` or `index`; WHEN is `before` or `after` the commit of that number since the start.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    """Install the fault and serve."""
    database: Any = import_module("onward.store.sqlite.database")
    where, when, number = sys.argv[1].split(":")
    left = {"commits": int(number)}
    commit = database.run_batch

    def counted(connection: Any, *rest: Any) -> bool:
        if Path(connection.filename).stem != where:
            return commit(connection, *rest)
        left["commits"] -= 1
        if left["commits"] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = commit(connection, *rest)
        if left["commits"] == 0 and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    database.run_batch = counted
    sys.argv = ["onward", *sys.argv[2:]]
    from onward.cli.main import main as serve

    serve()


if __name__ == "__main__":
    main()
