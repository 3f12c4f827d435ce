"""An ordinary langchain-openai program, over the Responses API and over chat completions.

Only the environment says where the server is (OPENAI_BASE_URL, OPENAI_API_KEY).
"""

from typing import Literal

from checks import run_checks
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

MODEL = "gpt-5"
CALL_WEATHER = 'What is the weather?\ncall get_weather {"city": "Oslo"}'
Method = Literal["json_schema", "function_calling"]


class Person(BaseModel):
    """A person."""

    name: str
    tags: list[str]


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Sunny in {city}"


responses = ChatOpenAI(model=MODEL, use_responses_api=True)
completions = ChatOpenAI(model=MODEL, use_responses_api=False)
BOTH = (responses, completions)


async def invoke_answers() -> None:
    for chat in BOTH:
        answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Say hello")])
        assert answer.text == "You said: Say hello"
        assert answer.usage_metadata is not None and answer.usage_metadata["total_tokens"] > 0
        assert (await chat.ainvoke("Say hello")).text == "You said: Say hello"
    assert responses.invoke("hi").response_metadata["id"].startswith("resp_")


async def stream_brings_chunks() -> None:
    for chat in BOTH:
        chunks = list(chat.stream("one two three"))
        assert len([chunk for chunk in chunks if chunk.text]) > 1
        assert "".join(chunk.text for chunk in chunks) == "You said: one two three"
    streamed = [chunk.text async for chunk in responses.astream("one two three")]
    assert "".join(streamed) == "You said: one two three"


async def bound_tools_are_called_and_answered() -> None:
    for chat in BOTH:
        bound = chat.bind_tools([get_weather])
        question = HumanMessage(CALL_WEATHER)
        called = bound.invoke([question])
        assert [(call["name"], call["args"]) for call in called.tool_calls] == [("get_weather", {"city": "Oslo"})]
        outputs = [get_weather.invoke(call) for call in called.tool_calls]
        assert isinstance(outputs[0], ToolMessage)
        answer = bound.invoke([question, called, *outputs])
        assert answer.text == "The tool said: Sunny in Oslo"


async def calls_stream() -> None:
    for chat in BOTH:
        whole: AIMessageChunk | None = None
        for chunk in chat.bind_tools([get_weather]).stream(CALL_WEATHER):
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("get_weather", {"city": "Oslo"})]
        output = get_weather.invoke(whole.tool_calls[0])
        history = [HumanMessage(CALL_WEATHER), whole, output]
        assert chat.bind_tools([get_weather]).invoke(history).text == "The tool said: Sunny in Oslo"


async def a_tool_choice_is_obeyed() -> None:
    for chat in BOTH:
        for choice in ("any", "get_weather"):
            bound = chat.bind_tools([get_weather], tool_choice=choice, parallel_tool_calls=False)
            assert [call["name"] for call in bound.invoke("Oslo").tool_calls] == ["get_weather"]


async def structured_output_is_an_object() -> None:
    methods: tuple[Method, ...] = ("json_schema", "function_calling")
    for chat in BOTH:
        for method in methods:
            found = chat.with_structured_output(Person, method=method).invoke("Ada")
            assert isinstance(found, Person) and found.tags == []
        strict = chat.with_structured_output(Person, method="json_schema", strict=True, include_raw=True).invoke("Ada")
        assert isinstance(strict, dict) and strict["parsed"] == Person(name="Ada", tags=[])
        assert isinstance(strict["raw"], AIMessage) and strict["parsing_error"] is None
        as_json = chat.with_structured_output(None, method="json_mode").invoke("Answer in JSON")
        assert as_json == {"said": "Answer in JSON"}


async def structured_output_streams() -> None:
    for chat in BOTH:
        found = list(chat.with_structured_output(Person, method="json_schema").stream("Ada"))
        assert found[-1] == Person(name="Ada", tags=[])


async def previous_response_id_chains() -> None:
    first = responses.invoke("one")
    second = responses.invoke("two", previous_response_id=first.response_metadata["id"])
    assert second.text == "You said: two"
    listed = responses.root_client.responses.input_items.list(second.response_metadata["id"], order="asc")
    assert [item.content[0].text for item in listed if item.type == "message"] == ["one", "You said: one", "two"]


async def the_chain_can_be_automatic() -> None:
    chat = ChatOpenAI(model=MODEL, use_responses_api=True, use_previous_response_id=True)
    bound = chat.bind_tools([get_weather])
    history = [HumanMessage(CALL_WEATHER)]
    history.append(bound.invoke(history))
    history.append(get_weather.invoke(history[-1].tool_calls[0]))
    history.append(bound.invoke(history))
    assert history[-1].text == "The tool said: Sunny in Oslo"
    history.append(HumanMessage("thanks"))
    last = bound.invoke(history)
    assert last.text == "You said: thanks"
    listed = chat.root_client.responses.input_items.list(last.response_metadata["id"], order="asc")
    assert [item.type for item in listed] == ["message", "function_call", "function_call_output", "message", "message"]


async def whole_history_is_sent_again() -> None:
    for chat in BOTH:
        history = [HumanMessage("one")]
        history.append(chat.invoke(history))
        history.append(HumanMessage("two"))
        assert chat.invoke(history).text == "You said: two"


async def batches_run_side_by_side() -> None:
    for chat in BOTH:
        answers = await chat.abatch(["a", "b", "c"])
        assert [answer.text for answer in answers] == ["You said: a", "You said: b", "You said: c"]


if __name__ == "__main__":
    run_checks(
        invoke_answers,
        stream_brings_chunks,
        bound_tools_are_called_and_answered,
        calls_stream,
        a_tool_choice_is_obeyed,
        structured_output_is_an_object,
        structured_output_streams,
        previous_response_id_chains,
        the_chain_can_be_automatic,
        whole_history_is_sent_again,
        batches_run_side_by_side,
    )
