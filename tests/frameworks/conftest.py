"""A real `onward serve` over the scripted model, shared by the frameworks' programs."""

from collections.abc import Iterator

import pytest
from servers import Server, serve, upstream_of

RULES: list[dict[str, object]] = [
    {"when": {"contains": "think first"}, "reply": {"reasoning": "Hm, let me see.", "text": "Done."}},
    {"when": {"contains": "be cut short"}, "reply": {"text": "Only half", "finish_reason": "length"}},
    {"when": {"contains": "break off"}, "reply": {"text": "One two three", "fault": {"kind": "cut", "after": 2}}},
    {"when": {"contains": "refuse this"}, "reply": {"refusal": "I cannot help with that."}},
]
"""What the default script has no words for; everything else follows it."""


@pytest.fixture(scope="session")
def framework_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for every program."""
    with (
        upstream_of(RULES) as upstream,
        serve(tmp_path_factory.mktemp("data"), {"OPENAI_BASE_URL": upstream.base_url}) as server,
    ):
        yield server


@pytest.fixture
def program_environment(framework_server: Server) -> dict[str, str]:
    """What tells an unmodified program where the server is."""
    return {
        "OPENAI_BASE_URL": framework_server.base_url,
        "OPENAI_API_KEY": "none",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",  # it goes to a host of its own, whatever the base URL
    }
