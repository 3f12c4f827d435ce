"""`web_search_options` of chat completions: the search runs unseen, and the answer's citations are annotations."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from openai import OpenAI
from servers import Server, scripted
from sites import Asked, Page, Site, site

TEXT = "The comet Arend was seen from Lisbon on Tuesday night with a tail of two degrees."
ANSWER = "The comet Arend was seen from Lisbon on Tuesday night. Enjoy!"
RULES: list[Any] = [
    {
        "when": {"last_role": "user", "tools": True},
        "reply": {"text": "I look. ", "tool_calls": [{"name": "web_search", "arguments": {"query": "comet"}}]},
    },
    {"when": {"last_role": "tool"}, "reply": {"text": ANSWER}},
]
QUESTION: Any = [{"role": "user", "content": "where was the comet?"}]
OPTIONS: Any = {
    "search_context_size": "low",
    "user_location": {"type": "approximate", "approximate": {"country": "PT"}},
}


def engine(_: Asked) -> Page:
    """Answer as SearXNG does."""
    found = {"url": "https://news.example.org/comet", "title": "A comet", "content": TEXT}
    return Page(json.dumps({"query": "q", "results": [found], "answers": []}).encode(), "application/json")


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site(engine) as here:
        yield here


@pytest.fixture(scope="module")
def searching(web: Site) -> Iterator[tuple[OpenAI, Server]]:
    with scripted(RULES, ONWARD_WEB_SEARCH_URL=web.url("/search")) as pair:
        yield pair


@pytest.mark.ledger("chat:web_search")
def test_citations_are_annotations_of_the_whole_text(searching: tuple[OpenAI, Server], web: Site) -> None:
    made = searching[0].chat.completions.create(model="m", messages=QUESTION, web_search_options=OPTIONS, store=True)
    message = made.choices[0].message
    assert made.choices[0].finish_reason == "stop" and message.content == f"I look. {ANSWER}"
    assert message.tool_calls is None and message.annotations is not None
    (note,) = message.annotations
    cited = note.url_citation
    assert (cited.url, cited.title) == ("https://news.example.org/comet", "A comet")
    assert message.content
    assert message.content[cited.start_index : cited.end_index].startswith("The comet Arend was seen")
    assert parse_qs(urlsplit(web.asked[-1].path).query)["q"] == ["comet"]
    assert searching[0].chat.completions.retrieve(made.id).choices == made.choices


@pytest.mark.ledger("chat:web_search")
def test_a_stream_tells_the_same(searching: tuple[OpenAI, Server]) -> None:
    content = ""
    notes: list[Any] = []
    for chunk in searching[0].chat.completions.create(
        model="m", messages=QUESTION, web_search_options=OPTIONS, stream=True
    ):
        delta = chunk.choices[0].delta
        content += delta.content or ""
        told: Any = delta.to_dict()
        notes += told.get("annotations", [])
        assert not delta.tool_calls
    assert content == f"I look. {ANSWER}"
    (note,) = notes
    cited = note["url_citation"]
    assert note["type"] == "url_citation" and content[cited["start_index"] :].startswith("The comet Arend was seen")
