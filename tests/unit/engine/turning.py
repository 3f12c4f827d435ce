"""Turns over the real store and the scripted model, with a file_search whose answer a test can hold back."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from onward.api.responses.input_items import easy_message
from onward.core.clock import now
from onward.core.events import Event
from onward.core.ids import new_suffix
from onward.core.items import Citation, Item, encode
from onward.core.tools import FileSearchTool, FunctionTool, Tool, ToolCall
from onward.core.turns import TurnRequest, TurnResult
from onward.engine.engine import Engine
from onward.ports.hosted import Citer, Offer, Outcome, Passage
from onward.ports.model import Model
from onward.ports.runs import Runs
from onward.store.sqlite.store import SqliteStore, open_store
from onward.testing.model import ScriptedModel
from onward.testing.script import Reply, Rule, Script

SEARCH = FileSearchTool(("vs_1",))
PASSAGE = Passage("file-1", "policy.md", "Partial refunds take ten days.", 0.9)


class NoCiter:
    """Cites nothing."""

    def feed(self, text: str) -> Sequence[Citation]:
        del text
        return ()

    def finish(self) -> Sequence[Citation]:
        return ()


class HeldToolset:
    """Finds one passage; while `gate` is closed, a call waits."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()

    def supports(self, tool: Tool) -> bool:
        return isinstance(tool, FileSearchTool)

    async def check(self, tool: Tool) -> None:
        del tool

    def lists(self, tool: Tool) -> bool:
        del tool
        return False

    def offers(self, tool: Tool, listing: Item | None = None) -> Sequence[Offer]:
        del listing
        return (Offer(FunctionTool("file_search"), "file_search_call", tool, "file_search"),)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator["HeldToolset"]:
        yield self

    async def list_tools(self, tool: Tool) -> Outcome:
        raise AssertionError(tool)

    def queries(self, call: ToolCall) -> tuple[str, ...]:
        del call
        return ("refunds",)

    async def run(self, offer: Offer, call: ToolCall, *, approval: str | None = None) -> Outcome:
        del offer, call, approval
        return await self.find()

    async def find(self) -> Outcome:
        self.started.set()
        await self.gate.wait()
        return Outcome(encode({"queries": ["refunds"], "results": []}), PASSAGE.text, passages=(PASSAGE,))

    async def search_first(
        self, tool: Tool, messages: Sequence[str], *, limit: int | None, tokens: int | None = None
    ) -> Outcome | None:
        del tool, messages, limit, tokens
        return await self.find()

    def citer(self, passages: Sequence[Passage]) -> Citer:
        del passages
        return NoCiter()

    def extract(self, question: Sequence[str], passages: Sequence[Passage]) -> str:
        del question
        return passages[0].text


class NoFiles:
    """The attachments of a project without files."""

    async def image_url(self, file_id: str) -> str:
        raise AssertionError(file_id)

    async def fetch_image(self, url: str) -> str:
        raise AssertionError(url)

    async def text(
        self,
        *,
        file_id: str | None,
        file_data: str | None,
        filename: str | None,
        file_url: str | None = None,
        read_before: bool = False,
    ) -> tuple[str, str]:
        del read_before
        raise AssertionError(file_id or file_data or filename or file_url)


class OneProject:
    """A project of the store with the tools above."""

    def __init__(self, store: SqliteStore) -> None:
        self.key = store.default_project
        self.state = store.for_project(self.key)
        self.runs: Runs = self.state.runs
        self.toolset = HeldToolset()
        self.attachments = NoFiles()


class OneModel:
    """Every name is served by one model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def resolve(self, name: str | None) -> Model:
        del name
        return self._model

    async def names(self) -> Sequence[str]:
        return (self._model.name,)


class House:
    """A store, a scripted model and the engine between them. `events` are those of all turns."""

    def __init__(self, store: SqliteStore, model: ScriptedModel) -> None:
        self.project = OneProject(store)
        self.model = model
        self.engine = Engine(models=OneModel(model), node=store.node)
        self.events: list[Event] = []
        self.suffix = ""

    async def turn(self, request: TurnRequest) -> TurnResult:
        """Run one turn; `suffix` is the identity of the last one."""
        self.suffix = new_suffix()
        return await self.engine.run(self.project, request, suffix=self.suffix, created_at=now(), emit=self._collect)

    async def _collect(self, events: Sequence[Event]) -> None:
        self.events.extend(events)

    def prompts(self) -> list[list[tuple[str, str]]]:
        """Return role and text of what the model was given in each call."""
        return [[(one.role, one.text()) for one in prompt.messages] for prompt in self.model.prompts]


@asynccontextmanager
async def house(folder: Path, *replies: Reply, model: ScriptedModel | None = None) -> AsyncGenerator[House]:
    """Open a house whose model gives each of `replies` once, in order, then repeats the user."""
    script = Script(rules=tuple(Rule(reply=reply, times=1) for reply in replies))
    scripted = model or ScriptedModel()
    scripted.play(script)
    async with open_store(folder, node=new_suffix()) as store:
        yield House(store, scripted)


def asking(text: str, **fields: Any) -> TurnRequest:
    """Return a turn with one question, streamed."""
    plain = TurnRequest(dialect="responses", model="any", input=(said(text),), stream=True)
    return msgspec.structs.replace(plain, **fields)


def said(text: str) -> Item:
    """Return a user message in its stored form."""
    return easy_message("user", text)
