"""The scripted server as a command: `python -m onward.testing.upstream --port 9000 --script replies.json`."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from onward.testing.app import ScriptedApp
from onward.testing.script import read_script

SCRIPT_FORM = """\
The script is JSON: the first rule whose conditions all hold replies, and what no rule is for gets a default.

  {"rules": [
    {"when": {"contains": "weather", "tools": true},
     "reply": {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}},
    {"when": {"contains": "busy"}, "times": 1,
     "reply": {"fault": {"kind": "status", "status": 429, "headers": {"retry-after": "1"}}}},
    {"reply": {"text": "Hello.", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}}
  ]}

when: contains, model, last_role, tools, stream. reply: text (a string, or a list of chunks), reasoning, refusal,
tool_calls, finish_reason, usage, delay, burst, fault (kind: status, cut, hang, malformed, error, endless; after).
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = ArgumentParser(
        prog="python -m onward.testing.upstream",
        description="A scripted OpenAI-compatible server.",
        epilog=SCRIPT_FORM,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--script", type=Path, help="a JSON file with rules")
    options = parser.parse_args(arguments)
    app = ScriptedApp(read_script(options.script) if options.script else None)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
