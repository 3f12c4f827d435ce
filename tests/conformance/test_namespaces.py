"""Functions in namespaces: models know none, so each is called by a name of its own, and answered by the client's."""

from typing import TYPE_CHECKING

import pytest
from openai import BadRequestError, OpenAI
from openai.types import responses as types
from openai.types.responses import ResponseFunctionToolCall
from servers import scripted

if TYPE_CHECKING:
    from openai.types.responses import NamespaceToolParam, ToolParam

pytestmark = pytest.mark.skipif(
    not hasattr(types, "NamespaceToolParam"), reason="this line of the SDK knows no namespaces"
)


def space(name: str, *functions: str) -> "NamespaceToolParam":
    """Return a namespace with functions of a city."""
    parameters: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {
        "type": "namespace",
        "name": name,
        "description": f"Tools of {name}.",
        "tools": [
            {"type": "function", "name": function, "description": "Looks.", "parameters": parameters}
            for function in functions
        ],
    }


TOOLS: "list[ToolParam]" = [space("crm", "find", "drop"), space("erp", "find")]
CALL = 'call crm__find {"city": "Oslo"}\ncall erp__find {"city": "Rome"}'


def calls_of(output: object) -> list[tuple[str, str | None, str]]:
    """Return name, namespace and arguments of every call."""
    assert isinstance(output, list)
    found = [item for item in output if isinstance(item, ResponseFunctionToolCall)]  # pyright: ignore[reportUnknownVariableType]
    return [(call.name, call.namespace, call.arguments) for call in found]


LONG = {"type": "function", "name": "b" * 64}
EXPECTED = [("find", "crm", '{"city": "Oslo"}'), ("find", "erp", '{"city": "Rome"}')]


@pytest.mark.ledger("functions:namespaces")
def test_functions_of_one_name_are_told_apart(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input=CALL, tools=TOOLS)
    assert calls_of(first.output) == EXPECTED
    assert calls_of(client.responses.retrieve(first.id).output) == EXPECTED
    echoed = first.tools[0]
    assert echoed.type == "namespace" and [tool.name for tool in echoed.tools] == ["find", "drop"]
    answered = client.responses.create(
        model="gpt-5",
        previous_response_id=first.id,
        tools=TOOLS,
        input=[
            {"type": "function_call_output", "call_id": item.call_id, "output": f"{item.namespace} knows"}
            for item in first.output
            if item.type == "function_call"
        ],
    )
    assert answered.output_text == "The tool said: crm knows | erp knows"


@pytest.mark.ledger("functions:namespaces")
def test_a_stream_names_the_namespace_from_the_beginning(client: OpenAI) -> None:
    with client.responses.stream(model="gpt-5", input=CALL, tools=TOOLS) as stream:
        events = list(stream)
        final = stream.get_final_response()
    opened = [event.item for event in events if event.type == "response.output_item.added"]
    assert [(item.name, item.namespace) for item in opened if item.type == "function_call"] == [
        ("find", "crm"),
        ("find", "erp"),
    ]
    assert calls_of(final.output) == EXPECTED


@pytest.mark.ledger("functions:namespaces")
def test_the_model_sees_one_name_for_each_function_also_in_history() -> None:
    with scripted([]) as (client, upstream):
        first = client.responses.create(model="gpt-5", input=CALL, tools=TOOLS, store=False)
        history = [item.to_dict(mode="json") for item in first.output]
        outputs = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "found"}
            for item in first.output
            if item.type == "function_call"
        ]
        client.responses.create(model="gpt-5", input=[*history, *outputs], tools=TOOLS, store=False)  # pyright: ignore[reportArgumentType]
        body = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]
    declared = {tool["function"]["name"]: tool["function"]["description"] for tool in body["tools"]}
    assert declared == {
        "crm__find": "Tools of crm.\nLooks.",
        "crm__drop": "Tools of crm.\nLooks.",
        "erp__find": "Tools of erp.\nLooks.",
    }
    assistant = next(message for message in body["messages"] if message["role"] == "assistant")
    assert [call["function"]["name"] for call in assistant["tool_calls"]] == ["crm__find", "erp__find"]


@pytest.mark.ledger("functions:namespaces")
@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "namespace", "description": "", "tools": []}, "tools[0].name"),
        ({"type": "namespace", "name": "a b", "description": "", "tools": []}, "tools[0].name"),
        ({"type": "namespace", "name": "a", "tools": []}, "tools[0].description"),
        ({"type": "namespace", "name": "a", "description": ""}, "tools[0].tools"),
        ({"type": "namespace", "name": "a", "description": "", "tools": [1]}, "tools[0].tools[0]"),
        ({"type": "namespace", "name": "a", "description": "", "tools": [{"type": "mcp"}]}, "tools[0].tools[0].type"),
        ({"type": "namespace", "name": "a", "description": "", "tools": [{"type": "custom"}]}, "tools[0].tools[0]"),
        (
            {"type": "namespace", "name": "a" * 64, "description": "", "tools": [LONG]},
            "tools[0].tools[0].name",
        ),
    ],
)
def test_what_is_no_namespace_is_refused(client: OpenAI, tool: "ToolParam", param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="hi", tools=[tool])
    assert refused.value.param == param


@pytest.mark.ledger("functions:namespaces")
def test_a_stream_that_is_told_again_names_the_namespace(client: OpenAI) -> None:
    events = list(client.responses.create(model="gpt-5", input=CALL, tools=TOOLS, stream=True))
    first = events[0]
    assert first.type == "response.created"
    again = list(client.responses.retrieve(first.response.id, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events]


@pytest.mark.ledger("functions:namespaces")
@pytest.mark.parametrize("namespace", [5, ["crm"], "n" * 129])
def test_a_call_sent_back_has_a_namespace_that_can_be_one(client: OpenAI, namespace: object) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "find", "arguments": "{}", "namespace": namespace}
    output = {"type": "function_call_output", "call_id": "a", "output": "found"}
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="gpt-5", input=[call, output])  # pyright: ignore[reportArgumentType]
    assert refused.value.param == "input[0].namespace"
