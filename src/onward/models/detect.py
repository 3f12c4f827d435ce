"""Chooses where answers come from at start, the first that applies, and says in a sentence what was chosen and how to
change it.

1 configuration, 2 a base URL in the environment, 3 a key in the environment, 4 a model server on this machine, 5
embedded weights, 6 no model at all. It reads no global environment. Whatever is missing, the server starts; it does not
where what was asked for cannot be meant: an address that is none, or a name that nothing here could have.
"""

import asyncio
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from onward.core.errors import SetupError
from onward.models.chat_completions import Connections, Endpoint, Upstream
from onward.models.known import SERVERS, SERVICES, KnownServer, KnownService, extra_headers, kind_of, proxy_of
from onward.models.listing import fetch_listing
from onward.models.profiles import UpstreamKind
from onward.models.settings import ModelSettings, UpstreamSettings
from onward.models.weights import CATALOGUE, LOCAL_SMALL, Weights, default_cache_dir, find_weights

PROBE_SECONDS: Final = 0.3
_CHANGE: Final = "To change it, set ONWARD_MODEL, or OPENAI_BASE_URL and OPENAI_API_KEY."


class Choice(Struct, frozen=True, kw_only=True):
    """What was chosen. `sentence` is for people.

    `endpoints`: upstreams, the first is the default one. `model`: the default model, None where every name is passed
    on. `weights_path` and `weights_name`: of the embedded model. `offer`: weights that could be fetched for a better
    choice.
    """

    kind: Literal["upstream", "embedded", "extractive"]
    sentence: str
    endpoints: tuple[Endpoint, ...] = ()
    listed: dict[str, tuple[str, ...]] = {}
    model: str | None = None
    weights_path: Path | None = None
    weights_name: str | None = None
    offer: Weights | None = None


async def detect(settings: ModelSettings, environment: Mapping[str, str], connections: Connections) -> Choice:
    """Return the choice for these settings and this environment; probes of the loopback take 0.3 seconds at most.

    Raises SetupError for an address that is none, and for a model name that nothing here could have.
    """
    model = settings.model or environment.get("ONWARD_MODEL") or None
    if model is not None and (forced := _forced(model, settings, environment)):
        return forced
    if settings.upstreams:
        return _configured(settings, environment, model)
    for find in (_from_base_url, _from_key):
        if choice := find(settings, environment, model):
            return choice
    if settings.probe and (choice := await _from_loopback(settings, connections, model)):
        return choice
    if model is None:
        return _without_upstream(settings, environment)
    known = ", ".join((*CATALOGUE, "extractive"))
    raise SetupError(
        f"ONWARD_MODEL is '{model[:200]}', but no upstream is configured or found that could have it. Without one "
        f"there are: {known}, and paths of .gguf files. With one, set OPENAI_BASE_URL and OPENAI_API_KEY."
    )


def _forced(model: str, settings: ModelSettings, environment: Mapping[str, str]) -> Choice | None:
    """Return the choice of a model name that means the same everywhere."""
    if model == "extractive":
        sentence = f"No language model (ONWARD_MODEL=extractive): answers are sentences found in your files. {_CHANGE}"
        return Choice(kind="extractive", sentence=sentence)
    if model in CATALOGUE:
        weights = CATALOGUE[model]
        path = find_weights(weights, _cache(settings, environment))
        if path is not None and has_runtime():
            return _embedded(path, model, weights.title)
        missing = "its weights are not here" if path is None else "the package xllamacpp is not installed"
        fix = f"run `onward models pull {model}`" if path is None else "run `pip install onward[local]`"
        sentence = (
            f"The embedded model {model} was asked for, but {missing}: {fix}. "
            "Until then answers are sentences found in your files."
        )
        return Choice(kind="extractive", sentence=sentence, offer=weights if path is None else None)
    if model.endswith(".gguf"):
        path = Path(model).expanduser()
        if path.is_file() and has_runtime():
            return _embedded(path, path.stem, path.name)
        why = "there is no such file" if has_runtime() else "the package xllamacpp is not installed"
        return Choice(kind="extractive", sentence=f"The model {model} cannot be used: {why}. {_CHANGE}")
    return None


def _embedded(path: Path, name: str, title: str) -> Choice:
    sentence = f"Model: {name} ({title}), running on this machine. {_CHANGE}"
    return Choice(kind="embedded", sentence=sentence, model=name, weights_path=path, weights_name=name)


def _configured(settings: ModelSettings, environment: Mapping[str, str], model: str | None) -> Choice:
    endpoints = tuple(_endpoint_of(upstream, settings, environment) for upstream in settings.upstreams)
    listed = {upstream.name: upstream.models for upstream in settings.upstreams if upstream.models}
    names = ", ".join(f"{endpoint.label} ({endpoint.base_url})" for endpoint in endpoints)
    sentence = f"{_subject(model)} from the configured upstream {names}. To change it, edit the settings file."
    return Choice(kind="upstream", sentence=sentence, endpoints=endpoints, listed=listed, model=model)


def _endpoint_of(upstream: UpstreamSettings, settings: ModelSettings, environment: Mapping[str, str]) -> Endpoint:
    check_address(upstream.base_url, f"The base URL of the upstream '{upstream.name}'")
    kind = upstream.kind or kind_of(upstream.base_url)
    return _endpoint(
        upstream.name, upstream.base_url, upstream.api_key, kind, settings, environment, headers=upstream.headers
    )


def _from_base_url(settings: ModelSettings, environment: Mapping[str, str], model: str | None) -> Choice | None:
    for prefix in ("OPENAI", "ANTHROPIC"):
        url = environment.get(f"{prefix}_BASE_URL")
        if url:
            check_address(url, f"{prefix}_BASE_URL")
            label = "upstream" if prefix == "OPENAI" else "anthropic"
            url = url if prefix == "OPENAI" or url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"
            endpoint = _endpoint(label, url, environment.get(f"{prefix}_API_KEY"), kind_of(url), settings, environment)
            sentence = f"{_subject(model)} from {url} ({prefix}_BASE_URL). {_CHANGE}"
            return Choice(kind="upstream", sentence=sentence, endpoints=(endpoint,), model=model)
    return None


def _from_key(settings: ModelSettings, environment: Mapping[str, str], model: str | None) -> Choice | None:
    azure_key, azure_url = environment.get("AZURE_OPENAI_API_KEY"), environment.get("AZURE_OPENAI_ENDPOINT")
    services = SERVICES
    if azure_key and azure_url:
        check_address(azure_url, "AZURE_OPENAI_ENDPOINT")
        base_url = f"{azure_url.rstrip('/')}/openai/v1"
        azure = KnownService(variable="AZURE_OPENAI_API_KEY", label="azure", base_url=base_url, kind="azure")
        services = (*SERVICES[:1], azure, *SERVICES[1:])
    for service in services:
        if key := environment.get(service.variable):
            endpoint = _endpoint(service.label, service.base_url, key, service.kind, settings, environment)
            sentence = f"{_subject(model)} from {service.label} ({service.variable} is set). {_CHANGE}"
            return Choice(kind="upstream", sentence=sentence, endpoints=(endpoint,), model=model)
    return None


async def _from_loopback(settings: ModelSettings, connections: Connections, model: str | None) -> Choice | None:
    """Return the first known model server on this machine that has a model; all are asked at once."""
    found = await asyncio.gather(*(_probe(server, settings, connections) for server in SERVERS))
    for server, answer in zip(SERVERS, found, strict=True):
        if answer is not None:
            endpoint, first = answer
            chosen = model or first
            sentence = f"Model: {chosen} from {server.label} at {endpoint.base_url} on this machine. {_CHANGE}"
            return Choice(kind="upstream", sentence=sentence, endpoints=(endpoint,), model=chosen)
    return None


async def _probe(server: KnownServer, settings: ModelSettings, connections: Connections) -> tuple[Endpoint, str] | None:
    if not await _listens(server.port):
        return None
    endpoint = _endpoint(server.label, f"http://127.0.0.1:{server.port}/v1", None, server.kind, settings, {})
    listing = await fetch_listing(Upstream(endpoint, connections), timeout=PROBE_SECONDS)
    first = listing.default()
    # Another server of our own on a well-known port is no model server: two of them would ask one another.
    if first is None or "onward" in listing.owners:
        return None
    return endpoint, first


async def _listens(port: int) -> bool:
    """Tell whether anything takes connections there, without the HTTP client, which most starts do not need."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _without_upstream(settings: ModelSettings, environment: Mapping[str, str]) -> Choice:
    path = find_weights(LOCAL_SMALL, _cache(settings, environment))
    if path is not None and has_runtime():
        return _embedded(path, LOCAL_SMALL.name, LOCAL_SMALL.title)
    size = LOCAL_SMALL.size / 1e9
    better = (
        f"`onward models pull` fetches a small one ({LOCAL_SMALL.title}, {size:.1f} GB)"
        if has_runtime()
        else "`pip install onward[local]` and `onward models pull` add a small one"
    )
    sentence = f"No language model was found: answers are sentences found in your files. {better}. {_CHANGE}"
    return Choice(kind="extractive", sentence=sentence, offer=LOCAL_SMALL if has_runtime() else None)


def has_runtime() -> bool:
    """Tell whether the embedded model's runtime is installed, without loading it."""
    return importlib.util.find_spec("xllamacpp") is not None


def _endpoint(
    label: str,
    base_url: str,
    api_key: str | None,
    kind: UpstreamKind,
    settings: ModelSettings,
    environment: Mapping[str, str],
    *,
    headers: dict[str, str] | None = None,
) -> Endpoint:
    return Endpoint(
        base_url=base_url.rstrip("/"),
        label=label,
        kind=kind,
        api_key=api_key or None,
        headers=extra_headers(label, api_key) | (headers or {}),
        proxy=proxy_of(base_url, environment),
        timeouts=settings.timeouts,
        retries=settings.retries,
    )


def check_address(url: str, origin: str) -> None:
    """Check the base URL of an upstream, which `origin` names. Raises SetupError."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        shown = re.sub(r"//[^/@]*@", "//…@", url[:200])
        raise SetupError(f"{origin} is '{shown}': expected an address such as http://127.0.0.1:11434/v1.")


def _subject(model: str | None) -> str:
    return f"Model: {model}" if model else "Models: whatever a request names,"


def _cache(settings: ModelSettings, environment: Mapping[str, str]) -> Path:
    return settings.cache_dir or default_cache_dir(environment)
