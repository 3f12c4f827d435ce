"""A model of an OpenAI-compatible upstream: the `Model` port over the parts of this folder."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from onward.core.items import Item
from onward.models.chat_completions.constrained import ConstrainedReader
from onward.models.chat_completions.endpoint import Quirks, Upstream
from onward.models.chat_completions.render import render_items
from onward.models.chat_completions.request import build_body, offered_tools
from onward.models.chat_completions.salvage import SalvageReader
from onward.models.profiles import Profile
from onward.ports.model import Capabilities, ModelEvent, ModelRequest

if TYPE_CHECKING:
    from onward.models.chat_completions.exchange import EventReader


class ChatModel:
    """The model that `upstream` calls `name`, talked to as `profile` says."""

    def __init__(self, name: str, *, upstream: Upstream, profile: Profile) -> None:
        self._name = name
        self._upstream = upstream
        self._profile = profile

    @property
    def name(self) -> str:
        """The upstream's own name of the model."""
        return self._name

    @property
    def upstream(self) -> str:
        """The upstream's short name."""
        return self._upstream.endpoint.label

    @property
    def capabilities(self) -> Capabilities:
        return self._profile.capabilities

    def render(self, items: Sequence[Item]) -> bytes:
        """Return the messages of `items`. Raises RequestError for content that this model cannot take."""
        return render_items(items, self._profile)

    def call(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Call the model; see the port. Raises RequestError at once where a required tool is not offered."""
        from onward.models.chat_completions.exchange import Exchange

        profile = self._profile
        tools = offered_tools(request, profile)

        def build(quirks: Quirks) -> bytes:
            return build_body(request, tools, name=self._name, profile=profile, quirks=quirks)

        reader: EventReader | None = None
        if tools and profile.capabilities.tool_mode == "constrained":
            reader = ConstrainedReader()
        elif tools and profile.capabilities.tool_mode == "salvage":
            reader = SalvageReader(tools)
        return Exchange(self._upstream, build, stream=request.stream, reader=reader)
