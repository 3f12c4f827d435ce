"""How the tests of models ask and what they read from the answer."""

from collections.abc import Callable, Sequence

import msgspec

from onward.core.items import Item
from onward.core.tools import FunctionTool
from onward.models.chat_completions import ChatModel
from onward.ports.model import (
    CallDelta,
    Finished,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Used,
)
from onward.testing import ScriptedUpstream

MakeModel = Callable[..., ChatModel]
Spoken = TextDelta | RefusalDelta | ReasoningDelta

WEATHER = FunctionTool(
    name="get_weather",
    description="Weather of a city",
    parameters=msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'),
)
SEARCH = FunctionTool(
    name="search",
    parameters=msgspec.Raw(b'{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}'),
)


def user(text: str) -> Item:
    """Return a user message."""
    body = msgspec.json.encode({"type": "message", "role": "user", "content": text})
    return Item(id="msg_1", type="message", body=body, role="user")


def ask(model: Model, text: str, **options: object) -> ModelRequest:
    """Return a request with one user message."""
    request = ModelRequest(context=[model.render([user(text)])])
    return msgspec.structs.replace(request, **options)


async def collect(model: Model, request: ModelRequest) -> list[ModelEvent]:
    """Return all events of a call."""
    events: list[ModelEvent] = []
    async with model.call(request) as batches:
        async for batch in batches:
            events.extend(batch)
    return events


def texts(events: Sequence[ModelEvent], kind: type[Spoken] = TextDelta) -> list[str]:
    """Return the texts of all deltas of `kind`."""
    return [event.text for event in events if isinstance(event, kind)]


def calls(events: Sequence[ModelEvent]) -> list[tuple[str | None, str]]:
    """Return name and arguments of each call."""
    names: dict[int, str | None] = {}
    arguments: dict[int, str] = {}
    for event in events:
        if isinstance(event, CallDelta):
            names.setdefault(event.index, event.name)
            arguments[event.index] = arguments.get(event.index, "") + event.arguments
    return [(names[index], arguments[index]) for index in sorted(names)]


def finish(events: Sequence[ModelEvent]) -> str:
    """Return why the model stopped; there is exactly one reason."""
    (reason,) = [event.reason for event in events if isinstance(event, Finished)]
    return reason


def used(events: Sequence[ModelEvent]) -> Used:
    """Return the one report of usage."""
    (report,) = [event for event in events if isinstance(event, Used)]
    return report


def sent(upstream: ScriptedUpstream, number: int = -1) -> dict[str, object]:
    """Return the body of a request that the upstream received."""
    return msgspec.json.decode(upstream.requests[number].body, type=dict[str, object])
