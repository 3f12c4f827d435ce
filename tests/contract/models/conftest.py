"""The scripted upstream over real HTTP, and models that talk to it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from model_calls import MakeModel

from onward.models.chat_completions import ChatModel, Connections, Endpoint, Retries, Timeouts, Upstream
from onward.models.profiles import Profile
from onward.testing import ScriptedUpstream, serve_upstream


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    async with Connections() as pool:
        yield pool


@pytest.fixture
def make_model(upstream: ScriptedUpstream, connections: Connections) -> MakeModel:
    def make(
        profile: Profile | None = None,
        *,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        base_url: str | None = None,
        api_key: str | None = "sk-upstream",
    ) -> ChatModel:
        endpoint = Endpoint(
            base_url=base_url or upstream.url,
            label="test",
            api_key=api_key,
            timeouts=timeouts or Timeouts(),
            retries=retries or Retries(backoff=0.001),
        )
        return ChatModel("scripted", upstream=Upstream(endpoint, connections), profile=profile or Profile())

    return make
