"""Chat completions that are not streamed, through the SDK: messages of every role, functions, formats, choices."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from servers import Server, scripted

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}
CALL = 'call weather {"city": "Oslo"}'
RULES: list[Any] = [
    {"when": {"contains": "long"}, "reply": {"text": ["one ", "two "], "finish_reason": "length"}},
    {"when": {"contains": "filtered"}, "reply": {"text": ["one "], "finish_reason": "content_filter"}},
    {"when": {"contains": "refuse"}, "reply": {"refusal": "I will not."}},
    {"when": {"contains": "think"}, "reply": {"reasoning": "Let me see. ", "text": "Done."}},
    {"when": {"contains": "speak and call"}, "reply": {"text": "I look.", "tool_calls": [{"name": "clock"}]}},
    {
        "when": {"contains": "counted"},
        "reply": {
            "text": "ok",
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 3, "reasoning_tokens": 2},
        },
    },
]


@pytest.fixture(scope="module")
def chat() -> Iterator[tuple[OpenAI, Server]]:
    with scripted(RULES) as pair:
        yield pair


def ask(chat: tuple[OpenAI, Server], messages: Any, **fields: Any) -> ChatCompletion:
    """Ask with a text or with messages."""
    given: Any = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return cast("ChatCompletion", chat[0].chat.completions.create(model="m", messages=given, **fields))


def sent(chat: tuple[OpenAI, Server]) -> dict[str, Any]:
    """Return what the upstream got last."""
    with urllib.request.urlopen(f"{chat[1].url}/requests") as answer:
        return cast("dict[str, Any]", json.load(answer)["data"][-1]["body"])


@pytest.mark.ledger("chat:create")
def test_an_answer_has_all_its_fields(chat: tuple[OpenAI, Server]) -> None:
    made = ask(chat, "hello", user="u", service_tier="auto", metadata={"k": "v"})
    assert made.id.startswith("chatcmpl-") and made.object == "chat.completion" and made.model == "m"
    (choice,) = made.choices
    assert choice.message.role == "assistant" and choice.message.content == "You said: hello"
    assert choice.message.refusal is None and choice.message.tool_calls is None
    assert choice.finish_reason == "stop" and choice.index == 0 and choice.logprobs is None
    assert made.service_tier == "default" and made.metadata == {"k": "v"}
    assert made.usage is not None and made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


@pytest.mark.ledger("chat:usage")
def test_usage_has_its_details(chat: tuple[OpenAI, Server]) -> None:
    usage = ask(chat, "counted").usage
    assert usage is not None and usage.prompt_tokens_details is not None and usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 4, 13)
    assert usage.prompt_tokens_details.cached_tokens == 3 and usage.completion_tokens_details.reasoning_tokens == 2


@pytest.mark.ledger("chat:finish_reasons")
@pytest.mark.parametrize(
    ("prompt", "reason", "content"),
    [("hi", "stop", "You said: hi"), ("long", "length", "one two "), ("filtered", "content_filter", "one ")],
)
def test_why_an_answer_ended(chat: tuple[OpenAI, Server], prompt: str, reason: str, content: str) -> None:
    (choice,) = ask(chat, prompt).choices
    assert (choice.finish_reason, choice.message.content) == (reason, content)


@pytest.mark.ledger("chat:refusal", "chat:reasoning")
def test_refusals_and_reasoning_have_fields_of_their_own(chat: tuple[OpenAI, Server]) -> None:
    refused = ask(chat, "refuse").choices[0].message
    assert refused.refusal == "I will not." and refused.content is None
    thought = ask(chat, "think").choices[0].message
    assert thought.content == "Done." and thought.to_dict()["reasoning_content"] == "Let me see. "


@pytest.mark.ledger("chat:roles")
def test_every_role_reaches_the_model(chat: tuple[OpenAI, Server]) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    made = ask(
        chat,
        [
            {"role": "system", "content": "Be brief.", "name": "boss"},
            {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
            {"role": "user", "content": "hi", "name": "ann"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}], "name": "bot"},
            {"role": "user", "content": "no"},
            {"role": "assistant", "refusal": "I will not.", "content": None},
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
        ],
    )
    assert made.choices[0].message.content == "The tool said: rain"
    messages = sent(chat)["messages"]
    assert [one["role"] for one in messages] == [
        "system", "system", "user", "assistant", "user", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    assert messages[0]["name"] == "boss" and messages[2]["name"] == "ann" and messages[3]["name"] == "bot"
    assert messages[1]["content"] == "Be\nkind." and messages[5]["content"] == "I will not."
    assert messages[7]["content"] == "I look." and messages[7]["tool_calls"] == [call]
    assert messages[8] == {"role": "tool", "content": "rain", "tool_call_id": "call_1"}


@pytest.mark.ledger("chat:images", "chat:files")
def test_images_and_files_are_parts_of_a_message(chat: tuple[OpenAI, Server]) -> None:
    client = chat[0]
    stored = client.files.create(file=("stored.txt", b"Stored words."), purpose="user_data").id
    inline = "data:text/plain;base64," + base64.b64encode(b"Inline words.").decode()
    ask(
        chat,
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                    {"type": "file", "file": {"file_id": stored}},
                    {"type": "file", "file": {"filename": "a.txt", "file_data": inline}},
                ],
            }
        ],
    )
    (message,) = sent(chat)["messages"]
    assert message["content"][0] == {"type": "text", "text": "look"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    assert message["content"][1] == image
    assert "Stored words." in message["content"][2]["text"] and "Inline words." in message["content"][3]["text"]


@pytest.mark.ledger("chat:functions")
def test_a_function_is_called_and_answered(chat: tuple[OpenAI, Server]) -> None:
    messages: list[Any] = [{"role": "user", "content": CALL}]
    (choice,) = ask(chat, messages, tools=[WEATHER]).choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Oslo"}
    assert sent(chat)["tools"] == [WEATHER]
    messages += [choice.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert ask(chat, messages, tools=[WEATHER]).choices[0].message.content == "The tool said: rain"


@pytest.mark.ledger("chat:functions")
def test_text_beside_calls_and_several_calls(chat: tuple[OpenAI, Server]) -> None:
    spoken = ask(chat, "speak and call", tools=[CLOCK]).choices[0]
    assert spoken.message.content == "I look." and spoken.finish_reason == "tool_calls"
    both = ask(chat, f"{CALL}\ncall clock {{}}", tools=[WEATHER, CLOCK]).choices[0].message.tool_calls
    assert both is not None and [one.to_dict()["function"]["name"] for one in both] == ["weather", "clock"]  # type: ignore[index]
    one = ask(chat, f"{CALL}\ncall clock {{}}", tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert one.choices[0].message.tool_calls is not None and len(one.choices[0].message.tool_calls) == 1


@pytest.mark.ledger("chat:tool_choice")
def test_every_form_of_tool_choice_reaches_the_model(chat: tuple[OpenAI, Server]) -> None:
    named = {"type": "function", "function": {"name": "clock"}}

    def chosen(choice: Any) -> tuple[Any, list[str]]:
        ask(chat, "hi", tools=[WEATHER, CLOCK], tool_choice=choice)
        body = sent(chat)
        return body.get("tool_choice"), [tool["function"]["name"] for tool in body.get("tools", [])]

    assert chosen("auto") == (None, ["weather", "clock"])
    assert chosen("none") == (None, [])
    assert chosen("required") == ("required", ["weather", "clock"])
    assert chosen(named) == (named, ["clock"])
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    assert chosen(allowed) == (None, ["clock"])
    allowed["allowed_tools"] = {"mode": "required", "tools": [named, WEATHER]}
    assert chosen(allowed) == ("required", ["weather", "clock"])


@pytest.mark.ledger("chat:legacy_functions")
def test_the_older_form_of_functions(chat: tuple[OpenAI, Server]) -> None:
    messages: list[Any] = [{"role": "user", "content": CALL}]
    functions: Any = [WEATHER["function"]]
    (choice,) = ask(chat, messages, functions=functions).choices
    assert choice.finish_reason == "function_call" and choice.message.tool_calls is None
    assert choice.message.function_call is not None and choice.message.function_call.name == "weather"
    messages += [choice.message.to_dict(), {"role": "function", "name": "weather", "content": "rain"}]
    assert ask(chat, messages, functions=functions).choices[0].message.content == "The tool said: rain"
    forced = ask(chat, "hi", functions=functions, function_call={"name": "weather"}).choices[0]
    assert forced.message.function_call is not None


@pytest.mark.ledger("chat:sampling")
def test_what_shapes_an_answer_reaches_the_model(chat: tuple[OpenAI, Server]) -> None:
    shape: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END", "\n\n"],
        "seed": 42,
        "frequency_penalty": -0.5,
        "presence_penalty": 1.5,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "verbosity": "high",
    }
    ask(chat, "hi", **shape, max_completion_tokens=7)
    body = sent(chat)
    assert {name: body[name] for name in shape} == shape
    assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    ask(chat, "hi", max_tokens=1, stop="END")
    body = sent(chat)
    assert body["stop"] == ["END"] and 1 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    ask(chat, "hi")
    assert sent(chat).keys().isdisjoint({*shape, "max_tokens", "max_completion_tokens"})


class Step(BaseModel):
    """A made-up shape."""

    name: str
    done: bool


@pytest.mark.ledger("chat:formats")
def test_formats_reach_the_model_and_parse_returns_an_object(chat: tuple[OpenAI, Server]) -> None:
    parsed = chat[0].chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "a step"}], response_format=Step
    )
    assert isinstance(parsed.choices[0].message.parsed, Step)
    form = sent(chat)["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["name"] == "Step" and form["json_schema"]["strict"]
    ask(chat, "some json, please", response_format={"type": "json_object"})
    assert sent(chat)["response_format"] == {"type": "json_object"}
    ask(chat, "hi", response_format={"type": "text"})
    assert "response_format" not in sent(chat)


@pytest.mark.ledger("chat:choices")
def test_several_choices_are_several_turns(chat: tuple[OpenAI, Server]) -> None:
    made = ask(chat, "hello", n=3, seed=5)
    assert [choice.index for choice in made.choices] == [0, 1, 2]
    assert {choice.message.content for choice in made.choices} == {"You said: hello"}
    single = ask(chat, "hello").usage
    assert made.usage is not None and single is not None
    assert made.usage.prompt_tokens == single.prompt_tokens
    assert made.usage.completion_tokens == 3 * single.completion_tokens
    with urllib.request.urlopen(f"{chat[1].url}/requests") as answer:
        seeds = [one["body"].get("seed") for one in json.load(answer)["data"][-4:-1]]
    assert sorted(seeds) == [5, 6, 7]


@pytest.mark.ledger("chat:choices")
def test_one_choice_that_fails_fails_the_whole() -> None:
    rules: list[Any] = [
        {"when": {"contains": "hi"}, "times": 1, "reply": {"fault": {"kind": "status", "status": 400}}},
        {"reply": {"text": "fine"}},
    ]
    with scripted(rules) as pair, pytest.raises(openai.BadRequestError):
        ask(pair, "hi", n=2)


@pytest.mark.ledger("chat:default_model")
def test_no_model_is_the_configured_one() -> None:
    with scripted([], ONWARD_MODEL="house-model") as (client, _):
        made = client.post(
            "/chat/completions", cast_to=ChatCompletion, body={"messages": [{"role": "user", "content": "hi"}]}
        )
        assert made.model == "house-model" and made.choices[0].message.content == "You said: hi"


@pytest.mark.ledger("chat:reasoning")
def test_reasoning_of_the_current_work_is_accepted(chat: tuple[OpenAI, Server]) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    made = ask(
        chat,
        [
            {"role": "user", "content": "time?"},
            {"role": "assistant", "content": "", "reasoning_content": "I need a clock.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ],
    )
    assert made.choices[0].message.content == "The tool said: noon"
    messages = sent(chat)["messages"]
    assert messages[1]["tool_calls"] == [call] and messages[1]["content"] is None
