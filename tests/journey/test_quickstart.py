"""The quickstart as a new user meets it, without a language model, and its two questions as acceptance tests."""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from openai.types.responses import Response
from servers import PYTHON, clean_environment, free_port, serve

from onward.quickstart.example import FOLLOW_UP, QUESTION

DOCUMENTS = Path(__file__).parents[2] / "src/onward/quickstart/documents"
COMMAND = [PYTHON, "-m", "onward", "quickstart"]
ENVIRONMENT = {"ONWARD_MODEL": "extractive"}


def quotes(response: Response) -> list[tuple[str, str]]:
    """Return (filename, quote) of every citation."""
    found: list[tuple[str, str]] = []
    for item in response.output:
        for part in item.content if item.type == "message" else ():
            for one in part.annotations if part.type == "output_text" else ():
                if one.type == "file_citation":
                    found.append((one.filename, str((one.model_extra or {})["quote"])))
    return found


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.ledger("quickstart:runs", "quickstart:questions")
def test_one_command_indexes_the_documents_and_both_questions_are_answered(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--port", "0", "--data", str(tmp_path), "--no-wait"],
        env=clean_environment(ENVIRONMENT),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "client.responses.create" in done.stdout and "refund-policy.md: “" in done.stdout
    assert re.search(r"70\s+percent", done.stdout)
    program = done.stdout.partition("an unmodified OpenAI client:\n\n")[2]
    compile(program, "pasted", "exec")
    assert program.startswith("from ") and "store_id = index(client, [" in program
    again = subprocess.run(
        [*COMMAND, "--port", "0", "--data", str(tmp_path), "--no-wait"],
        env=clean_environment(ENVIRONMENT),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0 and "searchable already" in again.stdout, again.stderr
    with serve(tmp_path, ENVIRONMENT) as server:
        client = server.client()
        (store,) = [one for one in client.vector_stores.list() if one.name == "Quickstart"]
        tool = {"type": "file_search", "vector_store_ids": [store.id]}
        first = client.responses.create(model="gpt-5", input=QUESTION, tools=[tool])  # type: ignore[list-item]
        second = client.responses.create(
            model="gpt-5",
            input=FOLLOW_UP,
            tools=[tool],  # type: ignore[list-item]
            previous_response_id=first.id,
        )
    document = (DOCUMENTS / "refund-policy.md").read_text()
    partial, digital = (
        document.split(f"## {title}\n")[1].split("##")[0] for title in ("Partial refunds", "Digital goods")
    )
    assert "70 percent" in flat(first.output_text)
    assert any(name == "refund-policy.md" and quote in partial for name, quote in quotes(first))
    assert "until the first download" in flat(second.output_text)
    assert any(name == "refund-policy.md" and quote in digital for name, quote in quotes(second))
    assert all(quote in document for name, quote in quotes(first) + quotes(second) if name == "refund-policy.md")


@pytest.mark.ledger("quickstart:stops")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_of_the_quickstart_ends_with_it(tmp_path: Path, how: signal.Signals) -> None:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--data", str(tmp_path)],
        env=clean_environment(ENVIRONMENT),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert any("keeps running" in line for line in output)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(how)
        assert process.wait(20) in (0, 143, -15)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
