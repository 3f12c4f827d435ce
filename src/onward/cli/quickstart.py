"""`onward quickstart`: the main job on example documents, through the ordinary OpenAI client, on its own server."""

from __future__ import annotations

import inspect
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onward.cli.ask import print_sources
from onward.cli.client import connect, friendly_errors
from onward.cli.files import same_content
from onward.cli.options import PORT, config_option, data_option, load_settings
from onward.cli.serve import check_data, check_port
from onward.cli.server_process import ServerProcess

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.responses import Response

DOCUMENTS = Path(__file__).parents[1] / "quickstart" / "documents"
SEARCHABLE = (".md", ".pdf", ".docx")


@click.command()
@click.option("--port", type=PORT, help="Port of the server; 0 takes a free one.  [default: 8700]")
@data_option
@click.option("--no-wait", is_flag=True, help="End after the answers instead of keeping the server running.")
@click.option("--download/--no-download", default=None, help="Download the embedded model without asking, or never.")
@config_option
def command(port: int | None, data: str | None, no_wait: bool, download: bool | None, config: Path | None) -> None:
    """Start a server, index example documents and ask them two questions.

    Works with no key and no network: an upstream is used where one is configured or found, else the embedded model,
    else the answers are sentences of the documents themselves (extractive mode).
    """
    from onward.cli.weights import offer_weights

    settings = load_settings(config=config, port=port, data=data).settings
    check_data(settings.data)
    if settings.port:
        check_port("127.0.0.1", settings.port)
    offer_weights(settings, download=download)
    chosen = settings.port or _free_port()
    url = f"http://127.0.0.1:{chosen}"
    click.secho("1. Starting the server", bold=True)
    with ServerProcess(settings, port=chosen, config=config) as server:
        server.wait_until_ready()
        click.echo(f"   {url}/v1   (state in {settings.data})\n")
        with friendly_errors(url):
            _run(connect(url, settings.api_key))
        if no_wait:
            return
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the server as well
        try:
            click.secho(f"The server keeps running at {url}/v1. Press Ctrl-C to stop it.", bold=True)
            server.wait()
        except KeyboardInterrupt:
            click.echo("\nStopped. Start it again with: onward serve" + (f" --data {data}" if data else ""))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(client: OpenAI) -> None:
    from onward.quickstart import example

    documents = sorted(path for path in DOCUMENTS.iterdir() if path.suffix in SEARCHABLE)
    click.secho(f"2. Indexing {len(documents)} documents of a small company", bold=True)
    click.echo(f"   {', '.join(path.name for path in documents)}")
    started = time.monotonic()
    store_id = _indexed(client, documents)
    if store_id is None:
        store_id = example.index(client, documents)
        _check_indexed(client, store_id)
        click.echo(f"   searchable after {time.monotonic() - started:.1f} s\n")
    else:
        click.echo("   searchable already, from an earlier quickstart\n")
    click.secho("3. Asking", bold=True)
    for question, response in zip((example.QUESTION, example.FOLLOW_UP), example.ask(client, store_id), strict=True):
        _print_answer(question, response)
    click.secho("The client code that just ran, with an unmodified OpenAI client:\n", bold=True)
    click.echo(_program(str(client.base_url).rstrip("/"), documents))


def _program(base_url: str, documents: Sequence[Path]) -> str:
    """Return the example as a program that runs as it stands."""
    from onward.quickstart import example

    source = inspect.getsource(example).split('"""', 2)[2].strip()
    pattern = f"[{', '.join(repr(path.name) for path in documents)}]"
    return f"""{source}


documents = Path({str(DOCUMENTS)!r})
client = OpenAI(base_url={base_url!r}, api_key="none")
store_id = index(client, [documents / name for name in {pattern}])
for response in ask(client, store_id):
    print(response.output_text)
"""


def _indexed(client: OpenAI, documents: Sequence[Path]) -> str | None:
    """Return the store of an earlier quickstart that has exactly these documents, None where there is none."""
    names = {path.name: path for path in documents}
    for store in client.vector_stores.list():
        counts = store.file_counts
        if store.name != "Quickstart" or not counts.completed == counts.total == len(documents):
            continue
        stored = [client.files.retrieve(one.id) for one in client.vector_stores.files.list(store.id)]
        if {one.filename for one in stored} == names.keys() and all(
            same_content(client, one.id, names[one.filename]) for one in stored
        ):
            return store.id
    return None


def _check_indexed(client: OpenAI, store_id: str) -> None:
    failed = [one for one in client.vector_stores.files.list(store_id) if one.status != "completed"]
    if failed:
        reasons = ", ".join(str(one.last_error.message if one.last_error else one.status) for one in failed)
        raise click.ClickException(f"Some documents could not be indexed: {reasons}")


def _print_answer(question: str, response: Response) -> None:
    click.secho(f"   Q: {question}", fg="cyan")
    text = " ".join(response.output_text.split())
    click.echo(textwrap.fill(text, 108, initial_indent="   A: ", subsequent_indent="      "))
    print_sources(response)
    click.echo()
    sys.stdout.flush()
