"""The scripted server as a command: `python -m onward.testing.upstream --port 9000 --script replies.json`."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from onward.testing.app import ScriptedApp
from onward.testing.script import read_script


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = ArgumentParser(
        prog="python -m onward.testing.upstream", description="A scripted OpenAI-compatible server."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--script", type=Path, help="a JSON file with rules")
    options = parser.parse_args(arguments)
    app = ScriptedApp(read_script(options.script) if options.script else None)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
