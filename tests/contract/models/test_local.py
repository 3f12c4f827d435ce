"""The embedded model in its own process, with real weights."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from model_calls import WEATHER, ask, calls, collect, finish, texts, used

from onward.core.errors import RequestError, UpstreamError, UpstreamUnavailable
from onward.core.tools import ToolChoice
from onward.core.turns import Sampling
from onward.models.chat_completions import Connections
from onward.models.fetch import fetch_weights
from onward.models.local import LocalModel, ModelChild, physical_cores
from onward.models.weights import LOCAL_TEST, default_cache_dir

pytestmark = pytest.mark.anyio

SHORT = Sampling(max_output_tokens=24)


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("xllamacpp")
    return fetch_weights(LOCAL_TEST, default_cache_dir(os.environ))


@pytest.fixture
async def child(weights: Path, connections: Connections) -> AsyncIterator[ModelChild]:
    child = ModelChild(weights, name="local-test", connections=connections)
    yield child
    await child.aclose()


async def _wait_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_answers_streamed_and_whole(child: ModelChild) -> None:
    model = LocalModel(child)
    assert child.pid is None
    for stream in (True, False):
        events = await collect(model, ask(model, "Say hello.", sampling=SHORT, stream=stream))
        assert "".join(texts(events))
        assert used(events).usage.output_tokens > 0
        assert finish(events) in ("stop", "length")


@pytest.mark.slow
async def test_constrained_calls_are_well_formed(child: ModelChild) -> None:
    model = LocalModel(child)
    request = ask(model, "Weather in Paris?", tools=(WEATHER,), tool_choice=ToolChoice("required"))
    events = await collect(model, request)
    if finish(events) == "tool_calls":
        ((name, arguments),) = calls(events)
        assert name == "get_weather"
        assert '"city"' in arguments
    assert texts(events) == []


@pytest.mark.slow
async def test_a_crash_is_an_error_and_the_next_call_starts_anew(child: ModelChild) -> None:
    model = LocalModel(child)
    batches_seen = 0

    async def count() -> None:
        nonlocal batches_seen
        async with model.call(ask(model, "Count to one hundred in words.")) as batches:
            async for _ in batches:
                batches_seen += 1
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(UpstreamError) as caught:
        await count()
    assert caught.value.code == "local_model_crashed"
    assert "signal 9" in caught.value.message
    assert batches_seen
    assert texts(await collect(model, ask(model, "Say hello.", sampling=SHORT)))


@pytest.mark.slow
async def test_memory_is_given_back_when_nobody_calls(weights: Path, connections: Connections) -> None:
    child = ModelChild(weights, name="local-test", connections=connections, idle_unload=0.05)
    model = LocalModel(child)
    await collect(model, ask(model, "Say hello.", sampling=SHORT))
    pid = child.pid
    assert pid is not None
    await _wait_gone(pid)
    assert texts(await collect(model, ask(model, "Say hello.", sampling=SHORT)))
    await child.aclose()
    assert child.pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from onward.models.chat_completions import Connections
from onward.models.local import ModelChild

async def main():
    child = ModelChild(Path(sys.argv[1]), name="m", connections=Connections())
    await child.acquire()
    print(child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_it_ends_with_a_server_that_was_killed(weights: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(weights), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    parent.kill()
    await parent.communicate()
    await _wait_gone(pid)


async def test_a_broken_file_is_a_clear_error(tmp_path: Path, connections: Connections) -> None:
    pytest.importorskip("xllamacpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF nothing")
    child = ModelChild(broken, name="broken", connections=connections)
    model = LocalModel(child)
    with pytest.raises(UpstreamUnavailable) as caught:
        await collect(model, ask(model, "hi"))
    assert caught.value.code == "local_model_unavailable"
    await child.aclose()


async def test_a_request_that_cannot_be_served_starts_nothing(tmp_path: Path, connections: Connections) -> None:
    child = ModelChild(tmp_path / "none.gguf", name="none", connections=connections)
    model = LocalModel(child)
    with pytest.raises(RequestError):
        model.call(ask(model, "hi", tool_choice=ToolChoice("required")))
    assert child.pid is None


def test_cores() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
