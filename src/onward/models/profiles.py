"""What is known of models and upstreams that their protocol does not say: one row for each, found by name.

A profile is data. It must not know how a request is built or sent.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from onward.ports.model import Capabilities

UpstreamKind = Literal["openai", "azure", "openrouter", "vllm", "ollama", "lmstudio", "llamacpp", "embedded", "other"]


class Profile(Struct, frozen=True, kw_only=True):
    """How to talk to one model.

    `token_limit`: the field that caps the output. `max_output_tokens`, `temperature`: used where a request says
    nothing. `replay_reasoning`: the model wants its earlier reasoning back. `files`: it takes files as content parts.
    """

    capabilities: Capabilities = Capabilities()
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: Literal["system", "developer"] = "system"
    max_output_tokens: int | None = None
    temperature: float | None = None
    replay_reasoning: bool = False
    files: bool = False


EMBEDDED: Final = Profile(
    capabilities=Capabilities(
        tool_mode="constrained",
        context_window=4096,
        forced_retrieval=True,
        passage_limit=3,
        passage_tokens=450,
        images=False,
    ),
    max_output_tokens=512,
    temperature=0.0,
)
"""The small embedded model: 36-50 prompt tokens a second on two cores, so prompts stay near 450 tokens (MODELS.md)."""

_SMALL_LOCAL: Final = Profile(
    capabilities=Capabilities(
        tool_mode="salvage", forced_retrieval=True, passage_limit=6, passage_tokens=1500, images=False
    )
)
_SALVAGED: Final = Profile(capabilities=Capabilities(tool_mode="salvage", images=False))
_NATIVE: Final = Profile()
_OPENAI: Final = Profile(token_limit="max_completion_tokens", developer_role="developer", files=True)

_FAMILIES: Final[tuple[tuple[re.Pattern[str], Profile], ...]] = (
    (re.compile(r"qwen-?2\.5-coder.*(14b|32b)"), _SALVAGED),
    (re.compile(r"qwen-?2\.5-coder"), _SMALL_LOCAL),
    (re.compile(r"smollm|tinyllama|phi-?[23]\b|gemma-?[23]?[:_-]?(270m|1b|2b)"), _SMALL_LOCAL),
    (re.compile(r"(^|/)(gpt-3\.5|gpt-4(-0\d+)?$)"), Profile(capabilities=Capabilities(images=False))),
    (re.compile(r"(^|/)(deepseek-(v3\.2|v4|reasoner)|kimi-k2|gpt-oss|minimax-m2)"), Profile(replay_reasoning=True)),
)

_WINDOWS: Final[tuple[tuple[re.Pattern[str], int], ...]] = (
    (re.compile(r"(^|/)gpt-4\.1"), 1_047_576),
    (re.compile(r"(^|/)gpt-(4o|4-turbo)"), 128_000),
    (re.compile(r"(^|/)gpt-5"), 400_000),
    (re.compile(r"(^|/)o[134](-|$)"), 200_000),
    (re.compile(r"(^|/)gpt-4"), 8_192),
    (re.compile(r"(^|/)gpt-3\.5"), 16_385),
)


def profile_for(name: str, *, kind: UpstreamKind = "other", context_window: int | None = None) -> Profile:
    """Return the profile of the model that the upstream of `kind` calls `name`.

    `context_window` in tokens, where it is known from configuration or the upstream, overrides the table's.
    """
    lowered = name.lower()
    profile = _base(lowered, kind)
    window = context_window or profile.capabilities.context_window or _window(lowered, kind)
    if window == profile.capabilities.context_window:
        return profile
    capabilities = msgspec.structs.replace(profile.capabilities, context_window=window)
    return msgspec.structs.replace(profile, capabilities=capabilities)


def _base(name: str, kind: UpstreamKind) -> Profile:
    if kind == "embedded":
        return EMBEDDED
    profile = next((profile for pattern, profile in _FAMILIES if pattern.search(name)), _NATIVE)
    if kind in ("ollama", "lmstudio"):
        # These take images only inside the request.
        return msgspec.structs.replace(
            profile, capabilities=msgspec.structs.replace(profile.capabilities, image_urls=False)
        )
    if kind in ("openai", "azure"):
        return msgspec.structs.replace(_OPENAI, capabilities=profile.capabilities)
    return profile


def _window(name: str, kind: UpstreamKind) -> int | None:
    if kind not in ("openai", "azure", "openrouter"):
        return None
    return next((window for pattern, window in _WINDOWS if pattern.search(name)), None)
