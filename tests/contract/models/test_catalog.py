"""Which model serves a name, and what is chosen at start."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from model_calls import WEATHER, ask, collect, finish, sent, texts
from msgspec import Raw

from onward.core.errors import RequestError
from onward.core.tools import ToolChoice
from onward.core.turns import Sampling
from onward.models import detect as detection
from onward.models.catalog import Catalog
from onward.models.chat_completions import Connections
from onward.models.detect import Choice, detect
from onward.models.known import KnownServer, kind_of, proxy_of
from onward.models.settings import ModelSettings, UpstreamSettings
from onward.models.weights import LOCAL_TEST
from onward.testing import Fault, Reply, Rule, Script, ScriptedUpstream

pytestmark = pytest.mark.anyio


async def choose(
    connections: Connections, environment: Mapping[str, str] | None = None, settings: ModelSettings | None = None
) -> Choice:
    return await detect(settings or ModelSettings(probe=False), environment or {}, connections)


def open_catalog(choice: Choice, connections: Connections, settings: ModelSettings | None = None) -> Catalog:
    return Catalog(choice, settings or ModelSettings(), {}, connections)


async def test_every_name_is_passed_on(connections: Connections, upstream: ScriptedUpstream) -> None:
    choice = await choose(connections, {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "sk-x"})
    assert upstream.url in choice.sentence
    async with open_catalog(choice, connections) as catalog:
        for name in ("gpt-5", "whatever/model:1b", "gpt-5"):
            model = await catalog.resolve(name)
            assert model.name == name
            await collect(model, ask(model, "hi"))
            assert sent(upstream)["model"] == name
        assert (await catalog.resolve(None)).name == "scripted"
        assert list(await catalog.names()) == ["scripted"]
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-x"


async def test_the_default_serves_well_known_names(connections: Connections, upstream: ScriptedUpstream) -> None:
    upstream.play(Script(models=("llama3", "gpt-4o", "bge-m3")))
    settings = ModelSettings(model="llama3", aliases={"mine": "gpt-4o"}, context_window=1234)
    choice = await choose(connections, {"OPENAI_BASE_URL": upstream.url}, settings)
    async with open_catalog(choice, connections, settings) as catalog:
        served = {name: (await catalog.resolve(name)).name for name in ("gpt-5", "o3", "gpt-4o", "mine", "llama3")}
        assert served == {"gpt-5": "llama3", "o3": "llama3", "gpt-4o": "gpt-4o", "mine": "gpt-4o", "llama3": "llama3"}
        assert (await catalog.resolve("gpt-5")).capabilities.context_window == 1234
        with pytest.raises(RequestError) as caught:
            await catalog.resolve("nobody-has-this")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_several_upstreams(connections: Connections, upstream: ScriptedUpstream) -> None:
    settings = ModelSettings(
        upstreams=(
            UpstreamSettings(name="dead", base_url="http://127.0.0.1:9/v1", models=("a",)),
            UpstreamSettings(name="live", base_url=upstream.url),
        )
    )
    async with open_catalog(await choose(connections, {}, settings), connections, settings) as catalog:
        assert (await catalog.resolve("a")).upstream == "dead"
        assert (await catalog.resolve("scripted")).upstream == "live"
        named = await catalog.resolve("live/other")
        assert (named.upstream, named.name) == ("live", "other")
        assert list(await catalog.names()) == ["a", "scripted"]


@pytest.mark.parametrize(
    ("environment", "base_url", "kind"),
    [
        ({"OPENAI_API_KEY": "k"}, "https://api.openai.com/v1", "openai"),
        (
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1/"},
            "http://127.0.0.1:11434/v1",
            "ollama",
        ),
        ({"ANTHROPIC_API_KEY": "k"}, "https://api.anthropic.com/v1", "other"),
        (
            {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/"},
            "https://x.openai.azure.com/openai/v1",
            "azure",
        ),
    ],
)
async def test_environment(connections: Connections, environment: dict[str, str], base_url: str, kind: str) -> None:
    choice = await choose(connections, environment)
    (endpoint,) = choice.endpoints
    assert (choice.kind, endpoint.base_url, endpoint.kind, choice.model) == ("upstream", base_url, kind, None)
    assert "ONWARD_MODEL" in choice.sentence
    assert endpoint.api_key == "k" or endpoint.api_key is None


async def test_loopback_server_with_models(
    connections: Connections, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = (silent.getsockname()[1], int(upstream.url.split(":")[2].split("/")[0]))
        servers = tuple(KnownServer(label=f"server{port}", port=port, kind="other") for port in ports)
        monkeypatch.setattr(detection, "SERVERS", servers)
        settings = ModelSettings()
        async with asyncio.timeout(2):
            choice = await detect(settings, {"HOME": "/nowhere"}, connections)
        assert (choice.kind, choice.model) == ("upstream", "scripted")
        async with open_catalog(choice, connections) as catalog:
            assert (await catalog.resolve("gpt-4o")).name == "scripted"
        upstream.play(Script(models=("bge-m3",)))
        assert (await detect(settings, {"HOME": "/nowhere"}, connections)).kind == "extractive"


async def test_without_anything(connections: Connections, tmp_path: Path) -> None:
    choice = await choose(connections, {"HOME": str(tmp_path)})
    assert choice.kind == "extractive"
    assert "models pull" in choice.sentence
    async with open_catalog(choice, connections) as catalog:
        model = await catalog.resolve("gpt-4o")
        assert model.capabilities.extractive
        events = await collect(model, ask(model, "hi"))
        assert "No language model is configured" in "".join(texts(events))
        assert finish(events) == "stop"
        assert model.render([]) == b""
        with pytest.raises(RequestError):
            model.call(ask(model, "hi", tools=(WEATHER,), tool_choice=ToolChoice("required")))


async def test_forced_models(connections: Connections, tmp_path: Path) -> None:
    environment = {"ONWARD_MODEL": "extractive", "OPENAI_API_KEY": "k"}
    assert (await choose(connections, environment)).kind == "extractive"
    missing = await choose(connections, {"ONWARD_MODEL": "local-test", "HOME": str(tmp_path)})
    assert missing.kind == "extractive"
    assert missing.offer is LOCAL_TEST
    assert "onward models pull local-test" in missing.sentence
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    own = await choose(connections, {"ONWARD_MODEL": str(tmp_path / "own.gguf")})
    assert (own.kind, own.model) == ("embedded", "own")


async def test_a_listing_that_fails_is_no_fault(connections: Connections) -> None:
    choice = await choose(connections, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "ONWARD_MODEL": "m"})
    async with open_catalog(choice, connections) as catalog:
        assert (await catalog.resolve("gpt-5")).name == "m"
        assert (await catalog.resolve("other")).name == "other"
        assert list(await catalog.names()) == ["m"]


async def test_another_form_of_token_limit_is_learned(connections: Connections, upstream: ScriptedUpstream) -> None:
    body = b'{"error":{"message":"Unsupported parameter: max_tokens. Use max_completion_tokens instead."}}'
    refusal = Fault(kind="status", status=400, body=Raw(body))
    upstream.play(Script(rules=(Rule(reply=Reply(fault=refusal), times=1),)))
    async with open_catalog(await choose(connections, {"OPENAI_BASE_URL": upstream.url}), connections) as catalog:
        model = await catalog.resolve("m")

        events = await collect(model, ask(model, "hi", sampling=Sampling(max_output_tokens=20)))
    assert finish(events) == "stop"
    assert sent(upstream)["max_completion_tokens"] == 20


def test_proxies_never_stand_before_this_machine() -> None:
    environment = {"HTTPS_PROXY": "http://proxy:1", "http_proxy": "http://proxy:2", "NO_PROXY": "internal, .lan"}
    assert proxy_of("http://127.0.0.1:8000/v1", environment) is None
    assert proxy_of("https://api.openai.com/v1", environment) == "http://proxy:1"
    assert proxy_of("https://models.lan/v1", environment) is None
    assert kind_of("http://models:8000/v1") == "other"
