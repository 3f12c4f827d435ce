"""`onward ask`: one question to the files of a vector store, answered as it streams, with the passages it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from onward.cli.client import connect, friendly_errors
from onward.cli.options import url_options

if TYPE_CHECKING:
    from openai import OpenAI


@click.command()
@click.argument("question")
@click.option("--store", help="Name or id of a vector store; without one the model answers alone.")
@click.option("--model", default="gpt-5", show_default=True, help="Model name; any name reaches the default model.")
@click.option("--after", metavar="RESPONSE_ID", help="Continue the answer with this id.")
@url_options
def command(question: str, store: str | None, model: str, after: str | None, url: str, api_key: str | None) -> None:
    """Ask QUESTION and print the answer with its sources."""
    if not question.strip():
        raise click.ClickException("The question is empty.")
    with friendly_errors(url):
        client = connect(url, api_key)
        stores = [find_store(client, store)] if store else []
        response_id = answer(client, question, stores=stores, model=model, after=after)
    click.echo(
        f'\nFollow up with: onward ask --after {response_id}{f" --store {store}" if store else ""} "..."', err=True
    )


def find_store(client: OpenAI, name: str) -> str:
    """Return the id of the store called `name`, or with that id; the newest where several have the name."""
    for one in client.vector_stores.list():
        if name in (one.id, one.name):
            return one.id
    raise click.ClickException(
        f"There is no vector store '{name}'. Add files with: onward files add DIR --store {name}"
    )


def answer(client: OpenAI, question: str, *, stores: list[str], model: str, after: str | None) -> str:
    """Stream one answer to standard output with its citations; return the response's id."""
    from openai import omit

    tools = [{"type": "file_search", "vector_store_ids": stores}] if stores else []
    with client.responses.stream(
        model=model,
        input=question,
        tools=tools,  # pyright: ignore[reportArgumentType]
        previous_response_id=after or omit,
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                click.echo(event.delta, nl=False)
        response = stream.get_final_response()
    click.echo()
    print_sources(response)
    return response.id


def print_sources(response: object) -> None:
    """Print each cited passage once: file, page where there is one, and the quote."""
    seen: set[tuple[str, str]] = set()
    for item in getattr(response, "output", ()):
        for part in getattr(item, "content", None) or ():
            for citation in getattr(part, "annotations", None) or ():
                quote = " ".join(str(getattr(citation, "quote", None) or "").split())
                key = (str(citation.filename), quote)
                if key in seen:
                    continue
                seen.add(key)
                page = getattr(citation, "page", None)
                place = f"{citation.filename}, page {page}" if page else str(citation.filename)
                click.echo(f"  [{len(seen)}] {place}" + (f": “{quote[:300]}”" if quote else ""))
