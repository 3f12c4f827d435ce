"""An ordinary pydantic-ai program over the Responses API: tools, output types, streams, histories.

Only the environment says where the server is (OPENAI_BASE_URL, OPENAI_API_KEY).
"""

from checks import run_checks
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, RunContext, ToolOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings

MODEL = "gpt-5"
CALL_WEATHER = 'What is the weather?\ncall get_weather {"city": "Oslo"}'
model = OpenAIResponsesModel(MODEL)


class Person(BaseModel):
    """A person."""

    name: str
    tags: list[str]


helper = Agent(model, deps_type=str, instructions="Be brief.")


@helper.tool
async def get_weather(context: RunContext[str], city: str) -> str:
    """Return the weather of a city."""
    return f"{context.deps} in {city}"


async def a_run_answers() -> None:
    result = await helper.run("Say hello", deps="Sunny")
    assert result.output == "You said: Say hello"
    last = result.all_messages()[-1]
    assert isinstance(last, ModelResponse) and (last.provider_response_id or "").startswith("resp_")
    assert last.usage.output_tokens > 0


async def a_tool_is_called_and_answered() -> None:
    result = await helper.run(CALL_WEATHER, deps="Sunny")
    assert result.output == "The tool said: Sunny in Oslo"
    calls = [part for message in result.all_messages() for part in message.parts if isinstance(part, ToolCallPart)]
    assert [call.args_as_dict() for call in calls] == [{"city": "Oslo"}]


async def an_output_type_comes_through_a_tool() -> None:
    agent = Agent(model, output_type=Person)
    assert (await agent.run("Ada")).output.tags == []
    named = Agent(model, output_type=[ToolOutput(Person, name="person")])
    assert isinstance((await named.run("Ada")).output, Person)


async def an_output_type_is_native() -> None:
    agent = Agent(model, output_type=NativeOutput(Person))
    assert (await agent.run("Ada")).output == Person(name="Ada", tags=[])


async def text_streams() -> None:
    async with helper.run_stream("one two three", deps="Sunny") as result:
        deltas = [delta async for delta in result.stream_text(delta=True, debounce_by=None)]
    assert len(deltas) > 1
    assert "".join(deltas) == "You said: one two three"


async def a_stream_goes_through_tool_calls() -> None:
    async with helper.run_stream(CALL_WEATHER, deps="Sunny") as result:
        assert await result.get_output() == "The tool said: Sunny in Oslo"


async def structured_output_streams() -> None:
    agent = Agent(model, output_type=NativeOutput(Person))
    async with agent.run_stream("Ada") as result:
        seen = [person async for person in result.stream_output(debounce_by=None)]
    assert seen[-1] == Person(name="Ada", tags=[])


async def a_history_goes_on() -> None:
    first = await helper.run(CALL_WEATHER, deps="Sunny")
    second = await helper.run("thanks", deps="Sunny", message_history=first.all_messages())
    assert second.output == "You said: thanks"


async def previous_response_id_chains() -> None:
    settings = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
    first = await helper.run(CALL_WEATHER, deps="Sunny", model_settings=settings)
    second = await helper.run("thanks", deps="Sunny", message_history=first.all_messages(), model_settings=settings)
    assert second.output == "You said: thanks"
    last = second.all_messages()[-1]
    assert isinstance(last, ModelResponse) and last.provider_response_id is not None
    listed = model.client.responses.input_items.list(last.provider_response_id, order="asc")
    kinds = [item.type async for item in listed]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message"]


async def chat_completions_answer_too() -> None:
    agent = Agent(OpenAIChatModel(MODEL), output_type=NativeOutput(Person))
    assert (await agent.run("Ada")).output == Person(name="Ada", tags=[])
    result = await helper.run(CALL_WEATHER, deps="Sunny", model=OpenAIChatModel(MODEL))
    assert result.output == "The tool said: Sunny in Oslo"


if __name__ == "__main__":
    run_checks(
        a_run_answers,
        a_tool_is_called_and_answered,
        an_output_type_comes_through_a_tool,
        an_output_type_is_native,
        text_streams,
        a_stream_goes_through_tool_calls,
        structured_output_streams,
        a_history_goes_on,
        previous_response_id_chains,
        chat_completions_answer_too,
    )
