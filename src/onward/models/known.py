"""Upstreams that are known by the key in the environment or the port on this machine. Data only."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from onward.models.profiles import UpstreamKind


class KnownService(Struct, frozen=True, kw_only=True):
    """A service that an API key in `variable` opens."""

    variable: str
    label: str
    base_url: str
    kind: UpstreamKind = "other"


class KnownServer(Struct, frozen=True, kw_only=True):
    """A model server that listens at `port` of the loopback by default."""

    label: str
    port: int
    kind: UpstreamKind


SERVICES: Final = (
    KnownService(variable="OPENAI_API_KEY", label="openai", base_url="https://api.openai.com/v1", kind="openai"),
    KnownService(variable="ANTHROPIC_API_KEY", label="anthropic", base_url="https://api.anthropic.com/v1"),
    KnownService(
        variable="OPENROUTER_API_KEY", label="openrouter", base_url="https://openrouter.ai/api/v1", kind="openrouter"
    ),
    KnownService(
        variable="GEMINI_API_KEY",
        label="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    KnownService(variable="GROQ_API_KEY", label="groq", base_url="https://api.groq.com/openai/v1"),
    KnownService(variable="MISTRAL_API_KEY", label="mistral", base_url="https://api.mistral.ai/v1"),
    KnownService(variable="DEEPSEEK_API_KEY", label="deepseek", base_url="https://api.deepseek.com/v1"),
    KnownService(variable="TOGETHER_API_KEY", label="together", base_url="https://api.together.xyz/v1"),
    KnownService(variable="XAI_API_KEY", label="xai", base_url="https://api.x.ai/v1"),
)

SERVERS: Final = (
    KnownServer(label="ollama", port=11434, kind="ollama"),
    KnownServer(label="vllm", port=8000, kind="vllm"),
    KnownServer(label="lmstudio", port=1234, kind="lmstudio"),
    KnownServer(label="llamacpp", port=8080, kind="llamacpp"),
)

_HOSTS: Final[dict[str, UpstreamKind]] = {"api.openai.com": "openai", "openrouter.ai": "openrouter"}


def kind_of(base_url: str) -> UpstreamKind:
    """Return the kind of server that an address speaks for; `other` where it says nothing."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if host in _HOSTS:
        return _HOSTS[host]
    if host.endswith((".openai.azure.com", ".services.ai.azure.com")):
        return "azure"
    for server in SERVERS:
        # Ports 8000 and 8080 are anybody's.
        if server.port == parts.port and server.port not in (8000, 8080):
            return server.kind
    return "other"


def extra_headers(label: str, api_key: str | None) -> dict[str, str]:
    """Return the headers that a service wants beside the bearer key."""
    if label == "anthropic" and api_key:
        return {"x-api-key": api_key, "anthropic-version": "2023-06-01"}
    return {}


def proxy_of(base_url: str, environment: Mapping[str, str]) -> str | None:
    """Return the HTTP proxy that the environment names for an address; never one for this machine."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1"):
        return None
    excluded = (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(",")
    if any(entry and (entry == "*" or host.endswith(entry.strip().lstrip("."))) for entry in map(str.strip, excluded)):
        return None
    name = f"{parts.scheme}_proxy"
    proxy = environment.get(name) or environment.get(name.upper())
    return proxy if proxy and proxy.startswith("http") else None
