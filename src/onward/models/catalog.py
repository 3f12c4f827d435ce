"""Which model serves a name: the `Models` port over what was chosen at start.

Code that was written for `gpt-5` runs on whatever is configured, because names of the big services stand for the
default model where the upstream does not have them. Where nothing but an upstream is configured, every name is passed
on as it is.
"""

import asyncio
import importlib
import logging
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from onward.core.errors import RequestError
from onward.models.chat_completions import ChatModel, Connections, Upstream
from onward.models.detect import Choice
from onward.models.extractive import ExtractiveModel
from onward.models.listing import Listing, Listings
from onward.models.local import LocalModel, ModelChild
from onward.models.profiles import profile_for
from onward.models.settings import ModelSettings
from onward.ports.model import Model

log = logging.getLogger("onward.models")

_ALIASED: Final = re.compile(r"(gpt-|chatgpt|o[1-9](-|$)|codex|claude|gemini|default$|local$)", re.IGNORECASE)
_REMEMBERED: Final = 1024
"""Names that are kept resolved: names come from clients, so there may be any number of them."""


class Source:
    """An upstream and what it serves; `fixed` are the names configured for it."""

    def __init__(self, upstream: Upstream, fixed: Sequence[str]) -> None:
        self.upstream = upstream
        self._listings = Listings(upstream)
        self._fixed = Listing(windows=dict.fromkeys(fixed), known=True) if fixed else None

    async def listing(self) -> Listing:
        """Return what the upstream serves."""
        return self._fixed or await self._listings.get()


class Catalog:
    """The models of this server. Close it where it was made: it may have started a process."""

    def __init__(
        self,
        choice: Choice,
        settings: ModelSettings,
        environment: Mapping[str, str],
        connections: Connections,
    ) -> None:
        self.choice = choice
        self._settings = settings
        self._window = settings.context_window or _positive(environment.get("ONWARD_CONTEXT_WINDOW"))
        self._sources = [
            Source(Upstream(endpoint, connections), choice.listed.get(endpoint.label, ()))
            for endpoint in choice.endpoints
        ]
        self._models: dict[tuple[str, str], Model] = {}
        self._child = self._embedded(choice, connections)
        self._only: Model | None = None
        if choice.kind == "extractive":
            self._only = ExtractiveModel()
        elif self._child is not None:
            self._only = LocalModel(self._child)

    async def resolve(self, name: str | None) -> Model:
        """Return the model that serves `name`. Raises RequestError `model_not_found`."""
        wanted = self._settings.aliases.get(name, name) if name else None
        if self._only is not None:
            return self._resolve_only(self._only, wanted)
        if wanted is None:
            return await self._default()
        if found := await self._listed(wanted):
            return found
        if self.choice.model is None or wanted == self.choice.model:
            return await self._passed_on(wanted)
        if _ALIASED.match(wanted):
            return await self._default()
        listings = [await source.listing() for source in self._sources]
        if not any(listing.known for listing in listings):
            return await self._passed_on(wanted)
        raise not_found(wanted)

    async def names(self) -> Sequence[str]:
        """Return the names that the upstreams list, the default model and configured aliases."""
        names: dict[str, None] = {}
        if self._only is not None:
            names[self._only.name] = None
        elif self.choice.model is not None:
            names[self.choice.model] = None
        for source in self._sources:
            names |= dict.fromkeys((await source.listing()).windows)
        names |= dict.fromkeys(self._settings.aliases)
        return tuple(names)

    async def prepare(self) -> None:
        """Load what the first call needs, so that it does not wait for that; for a task beside the start of the
        server."""
        if self._sources or self._child is not None:
            await asyncio.to_thread(importlib.import_module, "onward.models.chat_completions.exchange")
        for source in self._sources:
            if not (await source.listing()).known:
                endpoint = source.upstream.endpoint
                log.warning(
                    "the model's server '%s' at %s does not list its models now: it may be down, or its address or key "
                    "wrong. Requests are sent to it all the same.",
                    endpoint.label,
                    endpoint.base_url,
                )

    async def aclose(self) -> None:
        """End the embedded model's process."""
        if self._child is not None:
            await self._child.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _embedded(self, choice: Choice, connections: Connections) -> ModelChild | None:
        if choice.weights_path is None:
            return None
        name = choice.weights_name or choice.weights_path.stem
        return ModelChild(
            choice.weights_path,
            name=name,
            connections=connections,
            profile=profile_for(name, kind="embedded", context_window=self._window),
            threads=self._settings.threads,
            idle_unload=self._settings.idle_unload,
        )

    def _resolve_only(self, only: Model, wanted: str | None) -> Model:
        """Without a language model every name means the same; the one embedded model also answers to well-known
        names."""
        if only.capabilities.extractive or wanted is None or wanted == only.name or _ALIASED.match(wanted):
            return only
        raise not_found(wanted)

    async def _default(self) -> Model:
        if self.choice.model is not None:
            return await self._listed(self.choice.model) or await self._passed_on(self.choice.model)
        for source in self._sources:
            listing = await source.listing()
            if first := listing.default():
                return self._model(source, first, listing.windows[first])
        raise RequestError("Missing required parameter: 'model'.", param="model", code="missing_required_parameter")

    async def _listed(self, wanted: str) -> Model | None:
        """Return the model of the first upstream that lists it, or of the one that `upstream/model` names."""
        for source in self._sources:
            windows = (await source.listing()).windows
            if wanted in windows:
                return self._model(source, wanted, windows[wanted])
        label, slash, rest = wanted.partition("/")
        for source in self._sources:
            if slash and len(self._sources) > 1 and source.upstream.endpoint.label == label:
                return self._model(source, rest, (await source.listing()).windows.get(rest))
        return None

    async def _passed_on(self, wanted: str) -> Model:
        source = self._sources[0]
        return self._model(source, wanted, (await source.listing()).windows.get(wanted))

    def _model(self, source: Source, name: str, window: int | None) -> Model:
        key = (source.upstream.endpoint.label, name)
        known = self._models.get(key)
        window = self._window or window
        if known is None or (window is not None and known.capabilities.context_window != window):
            if len(self._models) >= _REMEMBERED:
                self._models.pop(next(iter(self._models)))
            profile = profile_for(name, kind=source.upstream.endpoint.kind, context_window=window)
            known = self._models[key] = ChatModel(name, upstream=source.upstream, profile=profile)
        return known


def not_found(name: str) -> RequestError:
    """Return the error of a model that nobody serves."""
    return RequestError(f"The requested model '{name[:200]}' does not exist.", param="model", code="model_not_found")


def _positive(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and int(text) > 0 else None
