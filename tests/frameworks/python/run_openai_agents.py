"""An ordinary openai-agents program: tools, a handoff, structured output, streams, sessions, chains.

Only the environment says where the server is (OPENAI_BASE_URL, OPENAI_API_KEY).
"""

from agents import (
    Agent,
    FileSearchTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    Runner,
    function_tool,
)
from checks import run_checks
from openai import AsyncOpenAI
from pydantic import BaseModel

MODEL = "gpt-5"
HANDBOOK = b"# Opening hours\n\nThe support desk is open from nine to five on weekdays.\n"
CALL_WEATHER = 'What is the weather?\ncall get_weather {"city": "Oslo"}'


class Person(BaseModel):
    """What an agent extracts."""

    name: str
    tags: list[str]


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Sunny in {city}"


helper = Agent(name="helper", model=MODEL, instructions="Be brief.", tools=[get_weather])


async def a_run_answers() -> None:
    result = await Runner.run(helper, "Say hello")
    assert result.final_output == "You said: Say hello"
    assert result.last_response_id is not None
    assert result.context_wrapper.usage.total_tokens > 0


async def a_function_tool_is_called_and_answered() -> None:
    result = await Runner.run(helper, CALL_WEATHER)
    assert result.final_output == "The tool said: Sunny in Oslo"
    assert [item.type for item in result.new_items] == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]


async def several_tools_are_called_at_once() -> None:
    question = 'call get_weather {"city": "Oslo"}\ncall get_weather {"city": "Rome"}'
    result = await Runner.run(helper, question)
    assert result.final_output == "The tool said: Sunny in Oslo | Sunny in Rome"


async def a_required_tool_is_called() -> None:
    agent = helper.clone(model_settings=ModelSettings(tool_choice="required"), tool_use_behavior="stop_on_first_tool")
    result = await Runner.run(agent, "Oslo")
    assert result.final_output.startswith("Sunny in")


async def a_handoff_gives_the_turn_to_another_agent() -> None:
    spanish = Agent(name="Spanish agent", model=MODEL, instructions="You speak Spanish.")
    triage = Agent(name="Triage agent", model=MODEL, handoffs=[spanish])
    result = await Runner.run(triage, "call transfer_to_spanish_agent {}")
    assert result.last_agent is spanish
    assert "Spanish agent" in result.final_output


async def an_agent_is_a_tool_of_another() -> None:
    inner = Agent(name="translator", model=MODEL)
    outer = Agent(name="outer", model=MODEL, tools=[inner.as_tool("translate", "Translates.")])
    result = await Runner.run(outer, 'call translate {"input": "hello"}')
    assert result.final_output == "The tool said: You said: hello"


async def structured_output_is_an_object() -> None:
    agent = Agent(name="extractor", model=MODEL, output_type=Person)
    result = await Runner.run(agent, "Ada")
    assert result.final_output == Person(name="Ada", tags=[])


async def a_stream_brings_deltas_and_items() -> None:
    result = Runner.run_streamed(helper, CALL_WEATHER)
    deltas: list[str] = []
    items: list[str] = []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            deltas.append(event.data.delta)
        elif event.type == "run_item_stream_event":
            items.append(event.name)
    assert len(deltas) > 1
    assert "".join(deltas) == result.final_output == "The tool said: Sunny in Oslo"
    assert items == ["tool_called", "tool_output", "message_output_created"]


async def structured_output_streams() -> None:
    agent = Agent(name="extractor", model=MODEL, output_type=Person)
    result = Runner.run_streamed(agent, "Ada")
    async for _ in result.stream_events():
        pass
    assert result.final_output == Person(name="Ada", tags=[])


async def previous_response_id_chains_runs() -> None:
    first = await Runner.run(helper, "one")
    second = await Runner.run(helper, "two", previous_response_id=first.last_response_id)
    assert second.final_output == "You said: two"
    listed = AsyncOpenAI().responses.input_items.list(second.last_response_id or "", order="asc")
    texts = [item.content[0].text async for item in listed if item.type == "message"]
    assert texts == ["one", "You said: one", "two"]


async def a_chain_goes_through_tool_calls() -> None:
    first = await Runner.run(helper, CALL_WEATHER, auto_previous_response_id=True)
    assert first.final_output == "The tool said: Sunny in Oslo"
    second = await Runner.run(helper, CALL_WEATHER, previous_response_id=first.last_response_id)
    assert second.final_output == "The tool said: Sunny in Oslo"


async def a_result_is_the_input_of_the_next_run() -> None:
    first = await Runner.run(helper, CALL_WEATHER)
    second = await Runner.run(helper, [*first.to_input_list(), {"role": "user", "content": "and now?"}])
    assert second.final_output == "You said: and now?"


async def a_conversation_is_given_by_id() -> None:
    client = AsyncOpenAI()
    conversation = await client.conversations.create()
    await Runner.run(helper, CALL_WEATHER, conversation_id=conversation.id)
    await Runner.run(helper, "thanks", conversation_id=conversation.id)
    kinds = [item.type async for item in client.conversations.items.list(conversation.id, order="asc")]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message", "message"]


async def a_conversations_session_keeps_the_history() -> None:
    session = OpenAIConversationsSession()
    await Runner.run(helper, CALL_WEATHER, session=session)
    second = await Runner.run(helper, "thanks", session=session)
    assert second.final_output == "You said: thanks"
    items = await session.get_items()
    assert [item.get("type") for item in items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
        "message",
        "message",
    ]
    assert len(await session.get_items(limit=2)) == 2
    last = await session.pop_item()
    assert last is not None and last["content"][0]["text"] == "You said: thanks"
    assert len(await session.get_items()) == 5
    streamed = Runner.run_streamed(helper, "more", session=session)
    async for _ in streamed.stream_events():
        pass
    assert len(await session.get_items()) == 7
    await session.clear_session()


async def hosted_file_search_cites_its_files() -> None:
    client = AsyncOpenAI()
    store = await client.vector_stores.create(name="handbook")
    await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("handbook.md", HANDBOOK))
    search = FileSearchTool(vector_store_ids=[store.id], include_search_results=True)
    agent = Agent(name="librarian", model=MODEL, tools=[search])
    result = await Runner.run(agent, 'call file_search {"queries": ["when is the desk open"]}')
    call = result.raw_responses[0].output[0]
    assert call.type == "file_search_call" and call.results and call.results[0].filename == "handbook.md"
    assert "nine to five" in result.final_output


async def chat_completions_answer_too() -> None:
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=AsyncOpenAI())
    agent = Agent(name="chat", model=model, tools=[get_weather])
    assert (await Runner.run(agent, CALL_WEATHER)).final_output == "The tool said: Sunny in Oslo"
    extractor = Agent(name="extractor", model=model, output_type=Person)
    assert (await Runner.run(extractor, "Ada")).final_output == Person(name="Ada", tags=[])
    streamed = Runner.run_streamed(agent, CALL_WEATHER)
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == "The tool said: Sunny in Oslo"


if __name__ == "__main__":
    run_checks(
        a_run_answers,
        a_function_tool_is_called_and_answered,
        several_tools_are_called_at_once,
        a_required_tool_is_called,
        a_handoff_gives_the_turn_to_another_agent,
        an_agent_is_a_tool_of_another,
        structured_output_is_an_object,
        a_stream_brings_deltas_and_items,
        structured_output_streams,
        previous_response_id_chains_runs,
        a_chain_goes_through_tool_calls,
        a_result_is_the_input_of_the_next_run,
        a_conversation_is_given_by_id,
        a_conversations_session_keeps_the_history,
        hosted_file_search_cites_its_files,
        chat_completions_answer_too,
    )
