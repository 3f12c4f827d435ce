"""API keys: open on loopback without any, closed with one, projects that do not see each other."""

import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import PYTHON

URL = "http://127.0.0.1"


def onward(*arguments: str) -> str:
    done = subprocess.run([PYTHON, "-m", "onward", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.ledger("auth:preset_key", "auth:azure_header")
def test_with_a_preset_key_every_request_needs_one(serve_here: Any) -> None:
    server = serve_here(ONWARD_API_KEY="sk-preset-0123456789")
    with pytest.raises(openai.AuthenticationError) as error:
        server.client(api_key="sk-wrong-0123456789").models.list()
    assert error.value.code == "invalid_api_key" and "sk-wrong-0123456789" not in str(error.value)
    assert server.client(api_key="sk-preset-0123456789").responses.create(model="m", input="x").status == "completed"
    plain = server.client()._client
    assert plain.get(f"{server.base_url}/models").status_code == 401
    assert plain.get(f"{server.base_url}/models", headers={"api-key": "sk-preset-0123456789"}).status_code == 200
    assert plain.get(f"{server.url}/health").status_code == 200


@pytest.mark.ledger("auth:projects")
def test_keys_of_two_projects_share_nothing(serve_here: Any, tmp_path: Path) -> None:
    data = tmp_path / "shared"
    red = onward("keys", "create", "red", "--project", "red", "--data", str(data))
    blue = onward("keys", "create", "blue", "--project", "blue", "--data", str(data))
    server = serve_here(data=data)
    one, other = server.client(api_key=red), server.client(api_key=blue)
    response = one.responses.create(model="m", input="mine")
    conversation = one.conversations.create()
    file = one.files.create(file=("a.txt", b"text"), purpose="assistants")
    store = one.vector_stores.create(name="s")
    checks: list[Any] = [
        lambda: other.responses.retrieve(response.id),
        lambda: other.responses.create(model="m", input="x", previous_response_id=response.id),
        lambda: other.responses.create(model="m", input=[{"type": "item_reference", "id": response.output[0].id}]),
        lambda: other.conversations.retrieve(conversation.id),
        lambda: other.files.retrieve(file.id),
        lambda: other.files.content(file.id),
        lambda: other.vector_stores.retrieve(store.id),
        lambda: other.vector_stores.search(store.id, query="x"),
        lambda: other.responses.create(
            model="m", input="x", tools=[{"type": "file_search", "vector_store_ids": [store.id]}]
        ),
    ]
    for check in checks:
        with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
            check()
    assert not other.files.list().data and not other.vector_stores.list().data


@pytest.mark.ledger("auth:revoke")
def test_a_revoked_key_is_refused_within_seconds(serve_here: Any, tmp_path: Path) -> None:
    import time

    data = tmp_path / "shared"
    secret = onward("keys", "create", "k", "--data", str(data))
    keep = onward("keys", "create", "keep", "--data", str(data))
    client: OpenAI = serve_here(data=data).client(api_key=secret)
    client.models.list()
    prefix = onward("keys", "list", "--data", str(data)).splitlines()[0].split("…")[0]
    onward("keys", "revoke", prefix, "--data", str(data))
    deadline = time.monotonic() + 5
    while _accepted(client) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _accepted(client)
    client.with_options(api_key=keep).models.list()


def _accepted(client: OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return False
    return True


@pytest.mark.ledger("auth:foreign_pages")
@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_without_a_key_web_pages_of_other_hosts_are_refused(client: OpenAI, header: dict[str, str]) -> None:
    url = f"{client.base_url}models"
    assert client._client.get(url, headers=header).status_code == 403
    assert client._client.get(url, headers={"Origin": "http://localhost:3000"}).status_code == 200


@pytest.mark.ledger("auth:loopback_only")
def test_without_a_key_the_server_refuses_to_listen_beyond_loopback(tmp_path: Path) -> None:
    done = subprocess.run(
        [PYTHON, "-m", "onward", "serve", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0 and "Refusing to listen on 0.0.0.0 without any API key" in done.stderr
