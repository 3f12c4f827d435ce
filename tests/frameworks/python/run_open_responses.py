"""Every answer and event in the ordinary situations of a client has the shape of the Open Responses specification.

The models come from the specification's OpenAPI document. They are not the SDK's: what one leaves out, the other wants.
"""

import inspect
import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

from checks import run_checks
from openresponses_types import types
from pydantic import BaseModel

Fields = dict[str, Any]
URL = os.environ["OPENAI_BASE_URL"] + "/responses"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: Fields = {
    "type": "function",
    "name": "get_weather",
    "description": "Return the weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
CALL = 'call get_weather {"place": "Oslo"}'


def event_models() -> dict[str, type[BaseModel]]:
    """Return the model of every event by its type."""
    found: dict[str, type[BaseModel]] = {}
    for name, model in inspect.getmembers(types, inspect.isclass):
        if name.endswith("StreamingEvent"):
            found |= {str(kind): model for kind in model.model_fields["type"].annotation}
    return found


EVENTS = event_models()
OTHER_NAMES = {
    "response.reasoning_text.delta": "response.reasoning.delta",
    "response.reasoning_text.done": "response.reasoning.done",
}
"""Events that OpenAI's SDKs know by another name than the specification: the server speaks as the SDKs do."""


def post(body: Fields) -> bytes:
    """Return the body of the answer to a create call."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    request = urllib.request.Request(URL, json.dumps({"model": "gpt-5"} | body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def create(**body: Any) -> Fields:
    """Return a response that the specification allows, which also the same one streamed is."""
    response = json.loads(post(body))
    types.ResponseResource.model_validate(response)
    events = list(stream(body))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert [item["type"] for item in final["output"]] == [item["type"] for item in response["output"]]
    assert final.keys() == response.keys()
    return response | {"events": [event["type"] for event in events]}


def stream(body: Fields) -> Iterator[Fields]:
    """Yield the events of a stream, each of a type and a shape that the specification knows."""
    blocks = post(body | {"stream": True}).decode().strip().split("\n\n")
    assert blocks[-1] == "data: [DONE]"
    for block in blocks[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        kind = OTHER_NAMES.get(event["type"], event["type"])
        EVENTS[kind].model_validate(event | {"type": kind})
        yield event


async def text() -> None:
    response = create(input=[{"type": "message", "role": "user", "content": "Say hello"}])
    assert response["status"] == "completed" and response["output"]
    assert {"response.output_text.delta", "response.content_part.done"} <= set(response["events"])


async def a_system_message() -> None:
    messages = [("system", "Be brief."), ("developer", "Be kind."), ("user", "Say hello")]
    response = create(input=[{"type": "message", "role": role, "content": content} for role, content in messages])
    assert response["status"] == "completed" and response["output"]


async def a_function_call() -> None:
    response = create(input=CALL, tools=[WEATHER])
    assert [item["type"] for item in response["output"]] == ["function_call"]
    kinds = {"response.function_call_arguments.delta", "response.function_call_arguments.done"}
    assert kinds <= set(response["events"])


async def a_function_call_and_its_output() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"place": "Oslo"}'}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    message = {"type": "message", "role": "user", "content": "How is it?"}
    response = create(input=[message, call, output], tools=[WEATHER])
    assert response["status"] == "completed"


async def an_image() -> None:
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
    ]
    response = create(input=[{"type": "message", "role": "user", "content": content}])
    assert response["status"] == "completed" and response["output"]


async def several_turns() -> None:
    turns = [("user", "My name is Ada."), ("assistant", "Hello Ada."), ("user", "What is it?")]
    response = create(input=[{"type": "message", "role": role, "content": content} for role, content in turns])
    assert response["status"] == "completed" and response["output"]


async def a_chain() -> None:
    first = create(input="one")
    second = create(input="two", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]


async def every_option() -> None:
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]}
    options: Fields = {
        "instructions": "Be brief.",
        "tools": [WEATHER],
        "tool_choice": allowed,
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.5,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "max_output_tokens": 100,
        "max_tool_calls": 2,
        "truncation": "auto",
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "metadata": {"topic": "demo"},
        "safety_identifier": "someone",
        "prompt_cache_key": "key",
        "service_tier": "auto",
        "store": False,
    }
    response = create(input="hello", **options)
    same = options.keys() - {"service_tier", "text", "tools"}
    assert {name: response[name] for name in same} == {name: options[name] for name in same}


async def reasoning() -> None:
    response = create(input="think first")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]


async def a_refusal() -> None:
    response = create(input="refuse this")
    assert response["output"][0]["content"][0]["type"] == "refusal"
    assert {"response.refusal.delta", "response.refusal.done"} <= set(response["events"])


async def an_answer_that_is_cut_short() -> None:
    response = create(input="be cut short")
    assert response["status"] == "incomplete" and response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["events"][-1] == "response.incomplete"


async def an_answer_that_breaks_off() -> None:
    events = list(stream({"input": "break off"}))
    assert events[-1]["type"] == "response.failed" and events[-1]["response"]["error"]["code"]


if __name__ == "__main__":
    run_checks(
        text,
        a_system_message,
        a_function_call,
        a_function_call_and_its_output,
        an_image,
        several_turns,
        a_chain,
        every_option,
        reasoning,
        a_refusal,
        an_answer_that_is_cut_short,
        an_answer_that_breaks_off,
    )
