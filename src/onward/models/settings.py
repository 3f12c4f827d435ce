"""What an operator can set about language models. Filled from the settings file and ONWARD_* by the composition
root."""

from pathlib import Path

from msgspec import Struct

from onward.models.chat_completions import Retries, Timeouts
from onward.models.profiles import UpstreamKind


class UpstreamSettings(Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible server that was configured. `name` is its name in messages and in `name/model`.

    `models` lists its models where it has no `/models` of its own.
    """

    name: str
    base_url: str
    api_key: str | None = None
    kind: UpstreamKind | None = None
    headers: dict[str, str] = {}
    models: tuple[str, ...] = ()


class ModelSettings(Struct, frozen=True, kw_only=True):
    """All settings of language models.

    `model` (ONWARD_MODEL): the default model; `extractive`, `local-small`, `local-test` and the path of a GGUF file
    are understood everywhere. `aliases`: name → model. `context_window`: tokens, where a model's is not known.
    `cache_dir`: where weights are kept. `threads`: of the embedded model, physical cores by default. `idle_unload`:
    seconds without a call after which the embedded model gives its memory back.
    """

    model: str | None = None
    upstreams: tuple[UpstreamSettings, ...] = ()
    aliases: dict[str, str] = {}
    context_window: int | None = None
    cache_dir: Path | None = None
    threads: int | None = None
    idle_unload: float = 600.0
    probe: bool = True
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
