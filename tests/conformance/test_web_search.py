"""web_search over a real search endpoint: the call, its sources on request, citations, streaming, refusals."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openai
import pytest
from openai import OpenAI
from servers import Server, scripted
from sites import Asked, Page, Site, site

RESULTS = [
    {
        "url": "https://news.example.org/comet",
        "title": "A comet &amp; its <b>tail</b>",
        "content": "The comet Arend was seen from Lisbon on Tuesday night with a tail of two degrees.",
    },
    {"url": "https://blog.example.com/soup", "title": "Soup", "content": "Boil the water and add salt."},
    {"url": "javascript:alert(1)", "title": "no page", "content": "nothing"},
    {"url": "https://news.example.org/comet", "title": "again", "content": "again"},
]
ANSWER = "The comet Arend was seen from Lisbon on Tuesday night. Enjoy!"


def engine(asked: Asked) -> Page:
    """Answer as SearXNG does."""
    query = parse_qs(urlsplit(asked.path).query)
    assert query["format"] == ["json"]
    if query["q"] == ["broken"]:
        return Page(b"<html>rate limited</html>", "text/html", status=429)
    return Page(json.dumps({"query": query["q"][0], "results": RESULTS, "answers": []}).encode(), "application/json")


def rules(query: str = "comet Lisbon") -> list[Any]:
    call = {"name": "web_search", "arguments": {"query": query}}
    return [
        {
            "when": {"last_role": "user", "tools": True, "contains": "broken"},
            "reply": {"tool_calls": [{"name": "web_search", "arguments": {"query": "broken"}}]},
        },
        {"when": {"last_role": "user", "tools": True}, "reply": {"tool_calls": [call]}},
        {"when": {"last_role": "tool"}, "reply": {"text": ANSWER}},
    ]


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site(engine) as here:
        yield here


@pytest.fixture(scope="module")
def searching(web: Site) -> Iterator[tuple[OpenAI, Server]]:
    with scripted(rules(), ONWARD_WEB_SEARCH_URL=web.url("/search")) as pair:
        yield pair


def told(upstream: Server) -> str:
    """Return what the model last read of a tool."""
    with urllib.request.urlopen(f"{upstream.url}/requests") as answer:
        messages = json.load(answer)["data"][-1]["body"]["messages"]
    return next(message["content"] for message in reversed(messages) if message["role"] == "tool")


@pytest.mark.ledger("web_search:call")
@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"]
)
def test_a_search_is_an_item_and_its_answer_cites_the_page(searching: tuple[OpenAI, Server], kind: Any) -> None:
    client, upstream = searching
    response = client.responses.create(model="gpt-5", input="where was the comet?", tools=[{"type": kind}])
    call, message = response.output
    assert call.type == "web_search_call" and call.status == "completed" and call.id.startswith("ws_")
    assert call.action.type == "search" and call.action.query == "comet Lisbon" and call.action.sources is None
    assert message.type == "message" and response.output_text == ANSWER
    (part,) = message.content
    assert part.type == "output_text"
    (citation,) = part.annotations
    assert citation.type == "url_citation" and citation.url == "https://news.example.org/comet"
    assert citation.title == "A comet & its tail"
    assert ANSWER[citation.start_index : citation.end_index].startswith("The comet Arend was seen")
    read = told(upstream)
    assert "https://blog.example.com/soup" in read and "javascript:" not in read and "<b>" not in read
    assert response.tools[0].type == kind


@pytest.mark.ledger("web_search:sources")
def test_sources_come_with_include_and_only_then(searching: tuple[OpenAI, Server]) -> None:
    client, _ = searching
    include: Any = ["web_search_call.action.sources"]
    response = client.responses.create(
        model="gpt-5", input="where was the comet?", tools=[{"type": "web_search"}], include=include
    )
    call = response.output[0]
    assert call.type == "web_search_call" and call.action.type == "search" and call.action.sources
    urls = ["https://news.example.org/comet", "https://blog.example.com/soup"]
    assert [source.url for source in call.action.sources] == urls
    plain: Any = client.responses.retrieve(response.id).output[0]
    assert plain.action.sources is None
    again: Any = client.responses.retrieve(response.id, include=include).output[0]
    assert [source.url for source in again.action.sources] == urls


@pytest.mark.ledger("web_search:stream")
def test_a_stream_tells_of_the_search_and_of_each_citation(searching: tuple[OpenAI, Server]) -> None:
    client, _ = searching
    with client.responses.stream(model="gpt-5", input="where?", tools=[{"type": "web_search"}]) as stream:
        events: list[Any] = list(stream)
    kinds = [event.type for event in events]
    begin = kinds.index("response.output_item.added")
    assert kinds[begin : begin + 5] == [
        "response.output_item.added",
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "response.output_item.done",
    ]
    assert events[begin].item.type == "web_search_call" and events[begin].item.status == "in_progress"
    annotation = next(event.annotation for event in events if event.type == "response.output_text.annotation.added")
    assert dict(annotation)["type"] == "url_citation"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.ledger("web_search:filters")
def test_domains_and_size_limit_what_the_model_reads(searching: tuple[OpenAI, Server], web: Site) -> None:
    client, upstream = searching
    tool: Any = {
        "type": "web_search",
        "filters": {"allowed_domains": ["Example.com"]},
        "search_context_size": "low",
        "user_location": {"type": "approximate", "country": "DE"},
    }
    response = client.responses.create(model="gpt-5", input="where?", tools=[tool])
    assert response.status == "completed" and "news.example.org" not in told(upstream)
    assert "https://blog.example.com/soup" in told(upstream)
    assert parse_qs(urlsplit(web.asked[-1].path).query)["language"] == ["de-DE"]


@pytest.mark.ledger("web_search:failed")
def test_a_failing_endpoint_is_a_failed_call_that_the_model_learns_of(searching: tuple[OpenAI, Server]) -> None:
    client, upstream = searching
    response = client.responses.create(model="gpt-5", input="broken?", tools=[{"type": "web_search"}])
    call = response.output[0]
    assert response.status == "completed" and call.type == "web_search_call" and call.status == "failed"
    assert "status 429" in told(upstream)


@pytest.mark.ledger("web_search:offline")
def test_without_access_to_the_web_nothing_is_asked(searching: tuple[OpenAI, Server], web: Site) -> None:
    client, upstream = searching
    before = len(web.asked)
    tool: Any = {"type": "web_search", "external_web_access": False}
    response = client.responses.create(model="gpt-5", input="where?", tools=[tool])
    assert response.output[0].type == "web_search_call" and len(web.asked) == before
    assert "does not allow access" in told(upstream)


@pytest.mark.ledger("web_search:unconfigured")
def test_without_an_endpoint_the_tool_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no search endpoint is configured") as error:
        client.responses.create(model="gpt-5", input="x", tools=[{"type": "web_search"}])
    assert error.value.param == "tools" and error.value.code == "unsupported_tool"


@pytest.mark.ledger("web_search:refused")
@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"search_context_size": "huge"}, "tools[0].search_context_size"),
        ({"filters": "x"}, "tools[0].filters"),
        ({"filters": {"allowed_domains": "x"}}, "tools[0].filters.allowed_domains"),
        ({"filters": {"allowed_domains": ["https://x"]}}, "tools[0].filters.allowed_domains[0]"),
        ({"filters": {"allowed_domains": ["a"] * 101}}, "tools[0].filters.allowed_domains"),
        ({"user_location": []}, "tools[0].user_location"),
    ],
)
def test_wrong_settings_are_named(client: OpenAI, options: dict[str, Any], param: str) -> None:
    tool: Any = {"type": "web_search", **options}
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="gpt-5", input="x", tools=[tool])
    assert error.value.param == param
