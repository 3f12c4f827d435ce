"""The scripted model inside the process: the `Model` port without HTTP."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
from msgspec import UNSET

from onward.core.errors import UpstreamError
from onward.core.items import Item
from onward.models.chat_completions.endpoint import Quirks
from onward.models.chat_completions.faults import status_fault, stream_fault
from onward.models.chat_completions.fold import ChunkFold
from onward.models.chat_completions.render import render_items
from onward.models.chat_completions.request import build_body, offered_tools
from onward.models.chat_completions.sse import ChunkReader
from onward.models.profiles import Profile
from onward.ports.model import Capabilities, ModelEvent, ModelRequest
from onward.testing.encode import DONE, encode_chunks
from onward.testing.replies import default_reply
from onward.testing.script import Fault, Player, Prompt, Script, StreamOptions

_read_prompt = msgspec.json.Decoder(Prompt).decode


class ScriptedModel:
    """A model that plays `script`. `requests` are the calls it got, `prompts` the same as an upstream would see them.

    `closed` counts calls whose context was left, `abandoned` those of them that had not come to their end.
    """

    def __init__(
        self, script: Script | None = None, *, name: str = "scripted", capabilities: Capabilities | None = None
    ) -> None:
        self.requests: list[ModelRequest] = []
        self.prompts: list[Prompt] = []
        self.closed = 0
        self.abandoned = 0
        self._name = name
        self._player = Player(script or Script())
        self._profile = Profile(capabilities=capabilities or Capabilities())

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def upstream(self) -> str:
        """The name of the upstream that it stands for."""
        return "scripted"

    @property
    def capabilities(self) -> Capabilities:
        return self._profile.capabilities

    def play(self, script: Script) -> None:
        """Begin another script."""
        self._player = Player(script)

    def render(self, items: Sequence[Item]) -> bytes:
        """Return the items as chat messages."""
        return render_items(items, self._profile)

    @asynccontextmanager
    async def _call(self, request: ModelRequest) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
        tools = offered_tools(request, self._profile)
        body = build_body(request, tools, name=self._name, profile=self._profile, quirks=Quirks())
        prompt = _read_prompt(body)
        self.requests.append(request)
        self.prompts.append(prompt)
        ended = False

        async def play() -> AsyncIterator[Sequence[ModelEvent]]:
            nonlocal ended
            async for batch in self._play(prompt, number=len(self.prompts)):
                yield batch
            ended = True

        batches = play()
        try:
            yield batches
        finally:
            self.closed += 1
            self.abandoned += not ended

    def call(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Play the reply to `request`; see the port."""
        return self._call(request)

    async def _play(self, prompt: Prompt, *, number: int) -> AsyncIterator[Sequence[ModelEvent]]:
        reply = self._player.find(prompt) or default_reply(prompt)
        fault = reply.fault
        if fault is not None and fault.kind == "status":
            body = bytes(fault.body) if fault.body is not UNSET else b'{"error":{"message":"Scripted status."}}'
            raise status_fault(fault.status, fault.headers, body, upstream=self.upstream)
        prompt.stream_options = StreamOptions(include_usage=True)
        chunks = encode_chunks(reply, prompt, number=number)
        reader, fold = ChunkReader(), ChunkFold()
        last = len(chunks) if fault is None else min(fault.after + 1, len(chunks))
        step = max(1, reply.burst)
        for start in range(0, last, step):
            await asyncio.sleep(reply.delay)
            if events := fold.feed(reader.feed(b"".join(chunks[start : min(start + step, last)]))):
                yield events
        if fault is not None:
            await _fail(fault)
        reader.feed(DONE)
        yield fold.finish(done=True)


async def _fail(fault: Fault) -> None:
    match fault.kind:
        case "hang":
            await asyncio.Event().wait()
        case "error":
            raise stream_fault(bytes(fault.body) if fault.body is not UNSET else b'{"message":"Scripted error."}')
        case "malformed" | "endless":
            raise UpstreamError("The model's server sent an event that cannot be read.", code="upstream_malformed")
        case "cut" | "status":
            raise UpstreamError("The model's server ended the answer before it was complete.", code="upstream_cut")
