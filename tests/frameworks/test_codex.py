"""The codex command line against a real server: `codex exec` with `wire_api = "responses"`, in a folder of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import node_environment, run_program
from servers import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm"),
]
CONFIG = """
model = "gpt-5"
model_provider = "onward"
web_search = "disabled"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.onward]
name = "Onward"
base_url = "{base_url}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name", "tags"],
    "additionalProperties": False,
}
Event = dict[str, Any]
Codex = Callable[..., list[Event]]


@pytest.fixture
def codex(tmp_path: Path, framework_server: Server) -> Codex:
    """Run `codex exec ARGUMENTS` in a folder of its own; returns its events."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (home / "config.toml").write_text(CONFIG.format(base_url=framework_server.base_url))
    program = node_environment("codex") / "node_modules/.bin/codex"

    def run(*arguments: str) -> list[Event]:
        # The test's folder is the only place that the commands write to, so no sandbox of the kernel's is needed.
        command = [str(program), "exec", "--json", "--skip-git-repo-check", "-s", "danger-full-access", *arguments]
        printed = run_program(command, work, {"CODEX_HOME": str(home), "HOME": str(home)})
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    return run


def said(events: list[Event]) -> list[str]:
    """Return what codex told its user."""
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item["text"] for item in items if item["type"] == "agent_message"]


@pytest.mark.ledger("frameworks:codex")
def test_codex_runs_a_command_and_goes_on(codex: Codex, tmp_path: Path) -> None:
    events = codex('call exec_command {"cmd": "echo made by codex > made.txt; cat made.txt"}')
    assert (tmp_path / "work/made.txt").read_text() == "made by codex\n"
    assert events[-1]["type"] == "turn.completed" and events[-1]["usage"]["output_tokens"] > 0
    assert said(events)[-1].startswith("The tool said: ") and "made by codex" in said(events)[-1]
    again = codex("resume", "--last", "and now?")
    assert again[0] == events[0], "the same thread"
    assert said(again) == ["You said: and now?"]


@pytest.mark.ledger("frameworks:codex")
def test_codex_gets_an_answer_of_a_schema(codex: Codex, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    assert json.loads(said(codex("--output-schema", str(schema), "Ada"))[-1]) == {"name": "Ada", "tags": []}
