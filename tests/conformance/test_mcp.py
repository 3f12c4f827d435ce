"""Tools of MCP servers: a real server by the official SDK, called for the model, approved by the client."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, free_port, scripted, serve, upstream_of
from tool_server import TOKEN, ToolServer, tool_server


def calling(word: str, name: str, arguments: Any = None, **when: Any) -> dict[str, Any]:
    """Return the rule that a question with `word` makes the model call a tool."""
    reply: dict[str, Any] = {"tool_calls": [{"name": name, "arguments": {} if arguments is None else arguments}]}
    return {"when": {"last_role": "user", "contains": word, "tools": True, **when}, "reply": reply}


RULES: list[Any] = [
    {"when": {"last_role": "tool"}, "reply": {"text": "Done."}},
    calling("sum", "add", {"a": 2, "b": 3}),
    calling("desk", "desk_add", {"a": 20, "b": 3}),
    calling("note", "note_write", {"words": "milk"}),
    calling("fail", "fail"),
    calling("draw", "draw"),
    calling("wait", "wait"),
    calling("broken", "add", '{"a": 2'),
    calling("text", "add", {"a": "x"}),
    {"reply": {"text": "Hello."}},
]


@pytest.fixture(scope="module")
def tools() -> Iterator[ToolServer]:
    with tool_server() as one:
        yield one


@pytest.fixture(scope="module")
def desk(tools: ToolServer) -> Iterator[tuple[OpenAI, Server]]:
    """A server that may reach the MCP server, and its upstream."""
    with scripted(RULES, ONWARD_EGRESS_ALLOW="127.0.0.1") as pair:
        yield pair


@pytest.fixture
def client(desk: tuple[OpenAI, Server]) -> OpenAI:
    return desk[0]


@pytest.fixture
def lenient(client: OpenAI) -> Iterator[OpenAI]:
    """The SDK as it is by default: the older lines know `error` of a call as a string."""
    with OpenAI(base_url=client.base_url, api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
def upstream(desk: tuple[OpenAI, Server]) -> Server:
    return desk[1]


def sent(upstream: Server) -> Any:
    """Return the last request that the model's server received."""
    with urllib.request.urlopen(f"{upstream.url}/requests") as answer:
        return json.load(answer)["data"][-1]["body"]


def offered(upstream: Server) -> list[str]:
    return [tool["function"]["name"] for tool in sent(upstream).get("tools", [])]


def ask(client: OpenAI, text: Any, tool: Any, **more: Any) -> Any:
    responses: Any = client.responses
    return responses.create(model="gpt-5", input=text, tools=[tool] if tool else [], **more)


@pytest.mark.ledger("mcp:call")
@pytest.mark.parametrize("path", ["/mcp", "/legacy", "/old/sse"])
def test_a_servers_tools_are_listed_and_called(client: OpenAI, upstream: Server, tools: ToolServer, path: str) -> None:
    response = ask(client, "the sum?", tools.tool(path, require_approval="never"))
    listing, call, message = response.output
    assert response.status == "completed" and response.output_text == "Done."
    assert listing.type == "mcp_list_tools" and listing.server_label == "desk" and listing.id.startswith("mcpl_")
    names = [tool.name for tool in listing.tools]
    assert names == ["add", "note.write", "fail", "draw", "wait"] and listing.error is None
    assert listing.tools[0].description == "Add two numbers." and listing.tools[0].annotations["readOnlyHint"] is True
    assert listing.tools[0].input_schema["required"] == ["a", "b"]
    assert call.type == "mcp_call" and call.id.startswith("mcp_") and call.server_label == "desk"
    assert (call.name, call.output, call.error, call.status) == ("add", "The sum is 5.", None, "completed")
    assert json.loads(call.arguments) == {"a": 2, "b": 3} and call.approval_request_id is None
    assert message.type == "message"
    assert offered(upstream) == ["add", "note_write", "fail", "draw", "wait"]
    assert sent(upstream)["messages"][-1]["content"] == "The sum is 5."
    assert client.responses.retrieve(response.id).output == response.output


@pytest.mark.ledger("mcp:stream")
def test_a_stream_tells_of_the_listing_and_the_call(client: OpenAI, tools: ToolServer) -> None:
    tool = tools.tool(require_approval="never")
    with client.responses.stream(model="gpt-5", input="the sum?", tools=[tool]) as stream:
        events: list[Any] = list(stream)
    kinds = [event.type for event in events]
    assert kinds[2:6] == [
        "response.output_item.added",
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.completed",
        "response.output_item.done",
    ]
    begin = 6
    end = kinds.index("response.output_item.done", begin)
    deltas = [event for event in events if event.type == "response.mcp_call_arguments.delta"]
    assert kinds[begin : end + 1] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        *["response.mcp_call_arguments.delta"] * len(deltas),
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    opened, done = events[begin].item, events[end].item
    assert (opened.id, opened.name, opened.server_label, opened.arguments) == (done.id, "add", "desk", "")
    whole = next(event.arguments for event in events if event.type == "response.mcp_call_arguments.done")
    assert "".join(event.delta for event in deltas) == whole == done.arguments
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.ledger("mcp:reuse")
@pytest.mark.parametrize("chain", ["previous", "conversation", "resent"])
def test_a_listing_in_the_context_is_used_again(
    client: OpenAI, upstream: Server, tools: ToolServer, chain: str
) -> None:
    tool = tools.tool(require_approval="never")
    conversation = client.conversations.create().id if chain == "conversation" else None
    where: dict[str, Any] = {"conversation": conversation} if conversation else {}
    first = ask(client, "hello", tool, **where)
    assert [item.type for item in first.output] == ["mcp_list_tools", "message"]
    listings = tools.count("tools/list")
    if chain == "previous":
        where = {"previous_response_id": first.id}
    question: Any = "the sum?"
    if chain == "resent":
        question = [{"role": "user", "content": "hello"}, *first.output, {"role": "user", "content": "the sum?"}]
        question = [item if isinstance(item, dict) else item.to_dict() for item in question]
        where = {"store": False}
    second = ask(client, question, tool, **where)
    assert [item.type for item in second.output] == ["mcp_call", "message"]
    assert tools.count("tools/list") == listings
    other = tools.tool(require_approval="never", server_label="other")
    after: dict[str, Any] = {} if chain == "resent" else {"previous_response_id": second.id}
    assert ask(client, "hello", other, **after).output[0].type == "mcp_list_tools"
    assert tools.count("tools/list") == listings + 1


@pytest.mark.ledger("mcp:reuse")
def test_a_listing_made_for_other_tools_is_not_used_again(client: OpenAI, upstream: Server, tools: ToolServer) -> None:
    first = ask(client, "hello", tools.tool(allowed_tools=["add"]))
    same = ask(client, "hello", tools.tool(allowed_tools=["add"]), previous_response_id=first.id)
    assert [item.type for item in same.output] == ["message"]
    other = ask(client, "hello", tools.tool(allowed_tools=["draw"]), previous_response_id=same.id)
    assert [item.type for item in other.output] == ["mcp_list_tools", "message"] and offered(upstream) == ["draw"]


@pytest.mark.ledger("mcp:replayed")
def test_later_turns_know_what_was_called(client: OpenAI, upstream: Server, tools: ToolServer) -> None:
    first = ask(client, "the sum?", tools.tool(require_approval="never"))
    ask(client, "thanks", None, previous_response_id=first.id)
    messages = sent(upstream)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "add"
    assert messages[2]["content"] == "The sum is 5."


@pytest.mark.ledger("mcp:approval")
@pytest.mark.parametrize("stored", [True, False])
def test_a_call_waits_for_approval_and_runs_once(
    client: OpenAI, upstream: Server, tools: ToolServer, stored: bool
) -> None:
    tool = tools.tool()
    first = ask(client, "note it", tool, store=stored)
    request = first.output[-1]
    assert first.status == "completed" and [item.type for item in first.output] == [
        "mcp_list_tools",
        "mcp_approval_request",
    ]
    assert request.id.startswith("mcpr_") and (request.name, request.server_label) == ("note.write", "desk")
    assert json.loads(request.arguments) == {"words": "milk"}
    before = tools.asked()["calls"].count(["note.write", {"words": "milk"}])
    yes: Any = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    history = [{"role": "user", "content": "note it"}, *(item.to_dict() for item in first.output), yes]
    if stored:
        second = ask(client, [yes], tool, previous_response_id=first.id)
    else:
        second = ask(client, history, tool, store=False)
    call, message = second.output
    assert (call.type, call.name, call.output, call.approval_request_id) == (
        "mcp_call",
        "note.write",
        "Noted: milk",
        request.id,
    )
    assert message.content[0].text == "Done."
    messages = sent(upstream)["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant", "tool"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "note_write"
    if stored:
        again = ask(client, [yes], tool, previous_response_id=second.id)
    else:
        resent = [*history, *(item.to_dict() for item in second.output), {"role": "user", "content": "bye"}]
        again = ask(client, resent, tool, store=False)
    assert "mcp_call" not in [item.type for item in again.output]
    assert tools.asked()["calls"].count(["note.write", {"words": "milk"}]) == before + 1


@pytest.mark.ledger("mcp:approval_stream")
def test_an_approved_call_is_told_in_a_stream(client: OpenAI, tools: ToolServer) -> None:
    tool = tools.tool()
    with client.responses.stream(model="gpt-5", input="note it", tools=[tool]) as stream:
        asked: list[Any] = list(stream)
    first = asked[-1].response
    assert asked[-2].type == "response.output_item.done" and asked[-2].item.type == "mcp_approval_request"
    answer: Any = {"type": "mcp_approval_response", "approval_request_id": first.output[-1].id, "approve": True}
    responses: Any = client.responses
    with responses.stream(model="gpt-5", input=[answer], tools=[tool], previous_response_id=first.id) as stream:
        kinds = [event.type for event in stream]
    assert kinds[2:8] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]


@pytest.mark.ledger("mcp:denied")
def test_a_refused_call_does_not_run_and_the_model_is_told(client: OpenAI, upstream: Server, tools: ToolServer) -> None:
    first = ask(client, "note it", tools.tool())
    before = len(tools.asked()["calls"])
    no: Any = {
        "type": "mcp_approval_response",
        "approval_request_id": first.output[-1].id,
        "approve": False,
        "reason": "not now",
    }
    second = ask(client, [no], tools.tool(), previous_response_id=first.id)
    assert [item.type for item in second.output] == ["message"] and len(tools.asked()["calls"]) == before
    told = sent(upstream)["messages"][-1]
    assert told["role"] == "tool" and "did not approve" in told["content"] and "not now" in told["content"]
    ask(client, "and now?", None, previous_response_id=second.id)
    assert [one["role"] for one in sent(upstream)["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


@pytest.mark.ledger("mcp:require_approval")
@pytest.mark.parametrize(
    ("setting", "asks"),
    [
        ({"never": {"tool_names": ["note.write"]}}, False),
        ({"always": {"tool_names": ["add"]}}, False),
        ({"always": {"tool_names": ["note.write"]}}, True),
        ({"never": {"read_only": True}}, True),
        ({"never": {"read_only": True}, "always": {"tool_names": ["note.write"]}}, True),
        ("always", True),
        (None, True),
    ],
)
def test_approval_by_names_and_by_what_only_reads(client: OpenAI, tools: ToolServer, setting: Any, asks: bool) -> None:
    response = ask(client, "note it", tools.tool(require_approval=setting))
    assert response.output[1].type == ("mcp_approval_request" if asks else "mcp_call")


@pytest.mark.ledger("mcp:allowed_tools")
@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (["add", "draw"], ["add", "draw"]),
        ({"tool_names": ["note.write"]}, ["note_write"]),
        ({"read_only": True}, ["add", "fail", "draw", "wait"]),
        ({"read_only": False}, ["note_write"]),
        ({"read_only": True, "tool_names": ["add", "note.write"]}, ["add"]),
        ([], []),
    ],
)
def test_only_allowed_tools_are_offered(
    client: OpenAI, upstream: Server, tools: ToolServer, setting: Any, names: list[str]
) -> None:
    ask(client, "hello", tools.tool(allowed_tools=setting))
    assert offered(upstream) == names


@pytest.mark.ledger("mcp:names")
def test_a_tool_with_the_name_of_a_function_is_still_callable(
    client: OpenAI, upstream: Server, tools: ToolServer
) -> None:
    function: Any = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
    responses: Any = client.responses
    tool = tools.tool(require_approval="never", allowed_tools=["add"])
    response = responses.create(model="gpt-5", input="at the desk", tools=[function, tool])
    assert offered(upstream) == ["add", "desk_add"]
    assert response.output[1].type == "mcp_call" and response.output[1].output == "The sum is 23."


@pytest.mark.ledger("mcp:tool_choice")
def test_a_choice_names_a_server_or_one_of_its_tools(client: OpenAI, upstream: Server, tools: ToolServer) -> None:
    choice: Any = {"type": "mcp", "server_label": "desk", "name": "note.write"}
    ask(client, "hello", tools.tool(), tool_choice=choice)
    assert sent(upstream)["tool_choice"] == {"type": "function", "function": {"name": "note_write"}}
    ask(client, "hello", tools.tool(), tool_choice={"type": "mcp", "server_label": "desk"})
    assert sent(upstream)["tool_choice"] == "required"
    with pytest.raises(openai.BadRequestError, match="not found in 'tools'"):
        ask(client, "hello", tools.tool(), tool_choice={"type": "mcp", "server_label": "nobody"})


@pytest.mark.ledger("mcp:secrets")
def test_what_gives_access_is_sent_on_and_kept_nowhere(
    client: OpenAI, lenient: OpenAI, upstream: Server, tools: ToolServer
) -> None:
    tool = tools.tool("/closed", authorization=TOKEN, headers={"X-Tenant": "tenant-secret"}, require_approval="never")
    tool["server_url"] += "?key=query-secret"
    response = ask(client, "the sum?", tool)
    assert response.output[1].output == "The sum is 5."
    heads = [one["headers"] for one in tools.asked()["requests"] if one["path"] == "/closed"]
    assert heads and all(head["authorization"] == f"Bearer {TOKEN}" for head in heads)
    assert all(head["x-tenant"] == "tenant-secret" and "openai" not in str(head) for head in heads)
    echoed = response.tools[0].to_dict()
    assert echoed["server_url"] == f"{tools.url}/<redacted>"
    assert echoed["authorization"] is None and echoed["headers"] is None
    for text in (response.to_json(), client.responses.retrieve(response.id).to_json()):
        assert not any(secret in text for secret in (TOKEN, "tenant-secret", "query-secret"))
    for file in upstream.data.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(secret in content for secret in (TOKEN.encode(), b"tenant-secret", b"query-secret")), file
    without = tools.tool("/closed", require_approval="never")
    call = ask(lenient, "the sum?", without, previous_response_id=response.id).output[0].to_dict(warnings=False)
    assert call["status"] == "failed"
    assert call["error"] == {"type": "http_error", "code": 401, "message": "Http status code: 401 (Unauthorized)"}


@pytest.mark.ledger("mcp:unreachable")
def test_a_server_that_cannot_be_listed_fails_the_response(client: OpenAI, tools: ToolServer) -> None:
    down = {"type": "mcp", "server_label": "desk", "server_url": f"http://127.0.0.1:{free_port()}/mcp?key=secret"}
    for tool, words in ((down, "cannot be reached"), (tools.tool("/closed"), "401 (Unauthorized)")):
        with pytest.raises(openai.APIStatusError, match="Error retrieving tool list from MCP server: 'desk'") as error:
            ask(client, "hello", tool)
        assert error.value.status_code == 424 and error.value.code == "http_error" and error.value.param == "tools"
        assert error.value.type == "external_connector_error" and words in str(error.value)
        assert "secret" not in str(error.value)
        events: list[Any] = list(ask(client, "hello", tool, stream=True))
        kinds = [event.type for event in events]
        assert kinds[2:] == [
            "response.output_item.added",
            "response.mcp_list_tools.in_progress",
            "response.mcp_list_tools.failed",
            "response.output_item.done",
            "response.failed",
        ]
        assert words in events[-2].item.error and words in events[-1].response.error.message


@pytest.mark.ledger("mcp:tool_errors")
@pytest.mark.parametrize(
    ("question", "kind"),
    [("fail", "mcp_tool_execution_error"), ("broken", "mcp_protocol_error"), ("text", "mcp_tool_execution_error")],
)
def test_a_failing_tool_is_a_failed_call_that_the_model_learns_of(
    lenient: OpenAI, upstream: Server, tools: ToolServer, question: str, kind: str
) -> None:
    events: list[Any] = list(ask(lenient, question, tools.tool(require_approval="never"), stream=True))
    assert "response.mcp_call.failed" in [event.type for event in events]
    response = events[-1].response
    call = response.output[1].to_dict(warnings=False)
    assert response.status == "completed" and call["status"] == "failed" and call["error"]["type"] == kind
    assert call["output"] is None and "failed" in sent(upstream)["messages"][-1]["content"]


@pytest.mark.ledger("mcp:content")
def test_content_that_is_no_text_is_kept_as_json(client: OpenAI, tools: ToolServer) -> None:
    call = ask(client, "draw", tools.tool(require_approval="never")).output[1]
    first, second = call.output.split("\n")
    assert first == "a dot" and json.loads(second)["mimeType"] == "image/png"


@pytest.mark.ledger("mcp:cancelled")
def test_a_client_that_leaves_ends_the_call(client: OpenAI, tools: ToolServer) -> None:
    before = tools.asked()["cancelled"]
    stream = ask(client, "wait", tools.tool(require_approval="never"), stream=True)
    for event in stream:
        if event.type == "response.mcp_call_arguments.done":
            break
    tools.until(lambda asked: ["wait", {}] in asked["calls"])
    stream.close()
    tools.until(lambda asked: asked["cancelled"] == before + 1)


@pytest.mark.ledger("mcp:limit")
def test_calls_beyond_max_tool_calls_are_ignored(client: OpenAI, tools: ToolServer) -> None:
    response = ask(client, "the sum?", tools.tool(require_approval="never"), max_tool_calls=0)
    assert response.status == "completed" and "mcp_call" not in [item.type for item in response.output]


@pytest.mark.ledger("mcp:refused")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"server_label": None}, "tools[0].server_label"),
        ({"server_label": "a b"}, "tools[0].server_label"),
        ({"server_url": None}, "tools[0].server_url"),
        ({"server_url": "file:///x"}, "tools[0].server_url"),
        ({"server_url": "http://user:pass@example.com/"}, "user name or password"),
        ({"server_url": "http://10.0.0.1/mcp"}, "not a public address"),
        ({"server_url": "http://169.254.169.254/mcp"}, "not a public address"),
        ({"connector_id": "connector_gmail"}, "tools[0].connector_id"),
        ({"headers": []}, "tools[0].headers"),
        ({"headers": {"a b": "x"}}, "tools[0].headers"),
        ({"headers": {"X": "line\nbreak-secret"}}, "tools[0].headers"),
        ({"authorization": "x", "headers": {"Authorization": "y"}}, "tools[0].authorization"),
        ({"require_approval": "maybe"}, "always"),
        ({"allowed_tools": "x"}, "tools[0].allowed_tools"),
        ({"allowed_tools": [1]}, "tools[0].allowed_tools"),
    ],
)
def test_wrong_declarations_are_refused(client: OpenAI, tools: ToolServer, options: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "hello", tools.tool() | options)
    assert words in str(error.value) and "secret" not in str(error.value) and "pass@" not in str(error.value)


@pytest.mark.ledger("mcp:wrong_approval")
def test_an_approval_of_nothing_is_refused(client: OpenAI, tools: ToolServer) -> None:
    answer: Any = {"type": "mcp_approval_response", "approval_request_id": "mcpr_none", "approve": True}
    with pytest.raises(openai.BadRequestError, match="No approval request found"):
        ask(client, [answer], tools.tool())
    with pytest.raises(openai.BadRequestError, match=r"input\[0\].approve"):
        ask(client, [answer | {"approve": "yes"}], tools.tool())
    first = ask(client, "note it", tools.tool())
    answer["approval_request_id"] = first.output[-1].id
    with pytest.raises(openai.BadRequestError, match="not in 'tools'"):
        ask(client, [answer], None, previous_response_id=first.id)
    with pytest.raises(openai.BadRequestError, match="not among the allowed tools"):
        ask(client, [answer], tools.tool(allowed_tools=["add"]), previous_response_id=first.id)


@pytest.mark.ledger("mcp:credentials_lost")
def test_a_run_whose_process_died_ends_truthfully_without_calling_again(tools: ToolServer, tmp_path: Path) -> None:
    before = tools.asked()["calls"].count(["wait", {}])
    with upstream_of(RULES) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url, "ONWARD_EGRESS_ALLOW": "127.0.0.1"}
        with serve(tmp_path, environment) as server:
            tool = tools.tool(require_approval="never", authorization=TOKEN)
            begun = ask(server.client(), "wait", tool, background=True)
            tools.until(lambda asked: asked["calls"].count(["wait", {}]) == before + 1)
            server.kill()
        with serve(tmp_path, environment) as server:
            client = server.client()
            ended = client.responses.retrieve(begun.id)
            while ended.status in ("queued", "in_progress"):
                ended = client.responses.retrieve(begun.id)
    assert ended.status == "failed" and ended.error is not None
    assert ended.error.code == "server_error" and "gives access to its tool servers" in ended.error.message
    assert tools.asked()["calls"].count(["wait", {}]) == before + 1
