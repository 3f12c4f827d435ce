"""A stored run as the request that made it, so that another process can go on with it."""

import msgspec

from onward.api.responses.formats import read_format
from onward.api.responses.input_items import read_input
from onward.api.responses.prompt import fold
from onward.api.responses.tools import read_tool_choice, read_tools
from onward.api.responses.wire import CreateResponse
from onward.core.errors import CredentialsLost
from onward.core.items import Item
from onward.core.tools import McpTool
from onward.core.turns import AfterResponse, OnConversation, Parent, Sampling, TurnRequest
from onward.ports.runs import Adopted, Run


class _Config(CreateResponse, frozen=True):
    """What a response repeats of its request; a prompt's instructions are a list of items."""

    instructions: str | list[msgspec.Raw] | None = None  # type: ignore[assignment]


_read_config = msgspec.json.Decoder(_Config).decode


def revive(adopted: Adopted) -> TurnRequest:
    """Return the turn of a stored run. Raises RequestError where what was stored can not be read any more, and
    CredentialsLost where it needs what is never stored.

    Values that equal the API's defaults count as not given: what a response repeats does not tell the two apart.
    """
    run = adopted.run
    config = _read_config(run.config)
    instructions, preamble = _instructions(run, config, alone=not adopted.input)
    reasoning, text = config.reasoning, config.text
    tools = read_tools(bytes(config.tools)).tools
    if any(isinstance(tool, McpTool) for tool in tools):
        raise CredentialsLost
    return TurnRequest(
        dialect=run.dialect,
        model=run.model,
        parent=_parent(run),
        input=tuple(adopted.input),
        instructions=instructions,
        preamble=preamble,
        tools=tools,
        tool_choice=read_tool_choice(bytes(config.tool_choice)),
        parallel_tool_calls=config.parallel_tool_calls is not False,
        max_tool_calls=config.max_tool_calls,
        sampling=Sampling(
            temperature=None if config.temperature == 1 else config.temperature,
            top_p=None if config.top_p == 1 else config.top_p,
            max_output_tokens=config.max_output_tokens,
            top_logprobs=config.top_logprobs or None,
            frequency_penalty=config.frequency_penalty or None,
            presence_penalty=config.presence_penalty or None,
            reasoning_effort=reasoning.effort if reasoning else None,
            verbosity=None if text is None or text.verbosity == "medium" else text.verbosity,
        ),
        format=read_format(text.format if text else None),
        truncation=config.truncation or "disabled",
        token_budget=_read_config(run.extra).token_budget,
        store=True,
        stream=run.stream,
        background=run.background,
        metadata=run.metadata,
        config=run.config,
        extra=run.extra,
    )


def _instructions(run: Run, config: _Config, *, alone: bool) -> tuple[str | None, tuple[Item, ...]]:
    """Return the instructions of a turn; those of a prompt are items, kept beside the config where they vary."""
    given = config.instructions or _read_config(run.extra).instructions
    if not isinstance(given, list):
        return given, ()
    items = [item for item in read_input(given).items if isinstance(item, Item)]
    return fold(items, alone=alone and _parent(run) is None)


def _parent(run: Run) -> Parent | None:
    if run.conversation is not None:
        return OnConversation(run.conversation)
    return AfterResponse(run.parent_response) if run.parent_response is not None else None
