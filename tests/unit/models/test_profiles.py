"""Models are recognised by their names, wherever they are served."""

import pytest

from onward.models.profiles import UpstreamKind, profile_for


@pytest.mark.parametrize(
    ("name", "kind", "tool_mode", "forced"),
    [
        ("gpt-5", "openai", "native", False),
        ("llama-3.3-70b", "vllm", "native", False),
        ("qwen2.5-coder:latest", "ollama", "salvage", True),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "vllm", "salvage", False),
        ("anything", "embedded", "constrained", True),
    ],
)
def test_tools_and_retrieval(name: str, kind: UpstreamKind, tool_mode: str, forced: bool) -> None:
    capabilities = profile_for(name, kind=kind).capabilities
    assert (capabilities.tool_mode, capabilities.forced_retrieval) == (tool_mode, forced)


@pytest.mark.parametrize(
    ("name", "kind", "configured", "window"),
    [
        ("gpt-4.1-mini", "openai", None, 1_047_576),
        ("openai/gpt-4o", "openrouter", None, 128_000),
        ("gpt-4", "openai", None, 8_192),
        ("gpt-4", "openai", 5_000, 5_000),
        ("gpt-4o", "other", None, None),
        ("x", "embedded", None, 4096),
        ("x", "embedded", 2048, 2048),
    ],
)
def test_windows(name: str, kind: UpstreamKind, configured: int | None, window: int | None) -> None:
    assert profile_for(name, kind=kind, context_window=configured).capabilities.context_window == window


def test_fields_that_only_openai_takes() -> None:
    theirs, others = profile_for("gpt-5", kind="openai"), profile_for("gpt-5", kind="vllm")
    assert (theirs.token_limit, theirs.developer_role) == ("max_completion_tokens", "developer")
    assert (others.token_limit, others.developer_role) == ("max_tokens", "system")


def test_the_embedded_model_is_kept_short() -> None:
    profile = profile_for("local-small", kind="embedded")
    assert profile.capabilities.passage_limit == 3
    assert profile.max_output_tokens
    assert not profile.capabilities.images


def test_images_are_not_for_text_models() -> None:
    assert not profile_for("gpt-4-0613", kind="openai").capabilities.images
    assert profile_for("gpt-4-turbo", kind="openai").capabilities.images
