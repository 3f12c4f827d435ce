"""Ordinary programs of agent frameworks against a real server: only the environment says where it is."""

import shutil

import pytest
from programs import HERE, checks_of, node_environment, python_environment, run_program

pytestmark = pytest.mark.slow
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")


def run_python(program: str, environment: dict[str, str]) -> int:
    """Run a program of `python/` and return how many checks held."""
    return checks_of(run_program([str(python_environment()), program], HERE / "python", environment))


def run_node(program: str, environment: dict[str, str]) -> int:
    """Run a program of `node/` and return how many checks held."""
    return checks_of(run_program(["node", program], node_environment("node"), environment))


@pytest.mark.ledger("frameworks:openai_agents")
def test_openai_agents(program_environment: dict[str, str]) -> None:
    assert run_python("run_openai_agents.py", program_environment) == 16


@pytest.mark.ledger("frameworks:langchain")
def test_langchain(program_environment: dict[str, str]) -> None:
    assert run_python("run_langchain.py", program_environment) == 11


@pytest.mark.ledger("frameworks:pydantic_ai")
def test_pydantic_ai(program_environment: dict[str, str]) -> None:
    assert run_python("run_pydantic_ai.py", program_environment) == 10


@needs_node
@pytest.mark.ledger("frameworks:openai_agents_node")
def test_openai_agents_of_node(program_environment: dict[str, str]) -> None:
    assert run_node("run_openai_agents.mjs", program_environment) == 10


@needs_node
@pytest.mark.ledger("frameworks:ai_sdk")
def test_the_ai_sdk(program_environment: dict[str, str]) -> None:
    assert run_node("run_ai_sdk.mjs", program_environment) == 21


@pytest.mark.ledger("frameworks:open_responses")
def test_the_shapes_of_open_responses(program_environment: dict[str, str]) -> None:
    assert run_python("run_open_responses.py", program_environment) == 12
