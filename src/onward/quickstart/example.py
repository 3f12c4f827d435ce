"""The client code of the quickstart, shown to the user exactly as it runs."""

from collections.abc import Iterator
from pathlib import Path

from openai import OpenAI
from openai.types.responses import FileSearchToolParam, Response

QUESTION = "What does our refund policy say about partial refunds?"
FOLLOW_UP = "And for digital goods specifically?"


def index(client: OpenAI, documents: list[Path]) -> str:
    """Put the documents into a vector store, wait until they can be searched, and return its id."""
    store = client.vector_stores.create(name="Quickstart")
    client.vector_stores.file_batches.upload_and_poll(store.id, files=documents)
    return store.id


def ask(client: OpenAI, store_id: str) -> Iterator[Response]:
    """Ask, then follow up on the answer."""
    tool: FileSearchToolParam = {"type": "file_search", "vector_store_ids": [store_id]}
    first = client.responses.create(model="gpt-5", input=QUESTION, tools=[tool])
    yield first
    yield client.responses.create(model="gpt-5", input=FOLLOW_UP, tools=[tool], previous_response_id=first.id)
