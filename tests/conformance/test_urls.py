"""Files and images that an input names by URL: fetched by the guarded client, read by the model, refused in words."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server, scripted, serve, upstream_of
from sites import Page, Site, site

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PAGES = {
    "/note.txt": Page(b"The code is 4711."),
    "/page": Page(b"<html><body><p>The word is plum.</p></body></html>", "text/html; charset=utf-8"),
    "/moved": Page(b"", status=302, headers={"Location": "/note.txt"}),
    "/inward": Page(b"", status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
    "/dot.png": Page(PIXEL, "image/png"),
}


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site(PAGES) as here:
        yield here


@pytest.fixture(scope="module")
def allowed(web: Site) -> Iterator[tuple[OpenAI, Server]]:
    """A server that may reach the site, and its upstream."""
    with scripted([], ONWARD_EGRESS_ALLOW=f"127.0.0.1:{web.port}") as pair:
        yield pair


def ask(client: OpenAI, part: dict[str, Any], **more: Any) -> Any:
    content: Any = [part, {"type": "input_text", "text": "what does it say?"}]
    responses: Any = client.responses
    return responses.create(model="gpt-5", input=[{"role": "user", "content": content}], **more)


def prompt(upstream: Server, number: int = -1) -> str:
    """Return the messages of a request that the upstream received."""
    with urllib.request.urlopen(f"{upstream.url}/requests") as answer:
        return json.dumps(json.load(answer)["data"][number]["body"]["messages"])


@pytest.mark.ledger("input:file_url")
@pytest.mark.parametrize(
    ("path", "words", "name"),
    [
        ("/note.txt?token=secret", "The code is 4711.", "note.txt"),
        ("/page", "The word is plum.", "page"),
        ("/moved", "The code is 4711.", "note.txt"),
    ],
)
def test_a_file_by_url_reaches_the_model_as_its_text(
    allowed: tuple[OpenAI, Server], web: Site, path: str, words: str, name: str
) -> None:
    client, upstream = allowed
    response = ask(client, {"type": "input_file", "file_url": web.url(path)})
    assert response.status == "completed"
    said = prompt(upstream)
    assert words in said and f'name=\\"{name}' in said and "<p>" not in said and "secret" not in said
    stored: Any = client.responses.input_items.list(response.id).data[0]
    assert stored.content[0].file_url == web.url(path)


@pytest.mark.ledger("input:file_url_history")
def test_a_conversation_goes_on_when_its_file_is_gone() -> None:
    with site({"/note.txt": Page(b"The code is 4711.")}) as web:
        allow = f"127.0.0.1:{web.port}"
        with upstream_of([]) as upstream:
            environment = {"OPENAI_BASE_URL": upstream.base_url, "ONWARD_EGRESS_ALLOW": allow}
            with serve(upstream.data / "data", environment) as server:
                first = ask(server.client(), {"type": "input_file", "file_url": web.url("/note.txt")})
            with serve(upstream.data / "data", environment | {"ONWARD_EGRESS_ALLOW": ""}) as server:
                again = server.client().responses.create(model="gpt-5", input="and now?", previous_response_id=first.id)
            assert again.status == "completed" and "no longer available" in prompt(upstream)


@pytest.mark.ledger("input:url_refused")
@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:9", "169.254.169.254", "[::ffff:10.0.0.1]", "0x7f.1"])
def test_a_url_of_the_inner_network_is_refused(client: OpenAI, host: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, {"type": "input_file", "file_url": f"http://{host}/?token=secret"})
    assert error.value.param == "input" and "secret" not in str(error.value)
    assert "not a public address" in str(error.value) or "unusual spelling" in str(error.value)


@pytest.mark.ledger("input:url_refused")
@pytest.mark.parametrize(
    ("path", "words"),
    [("/missing", "Upstream status code: 404"), ("/inward", "not a public address")],
)
def test_what_cannot_be_downloaded_is_told(allowed: tuple[OpenAI, Server], web: Site, path: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as error:
        ask(allowed[0], {"type": "input_file", "file_url": web.url(path)})
    assert "Error while downloading" in str(error.value) and error.value.code == "invalid_value"


@pytest.mark.ledger("input:image_url")
def test_an_image_by_url_is_left_to_an_upstream_that_fetches(allowed: tuple[OpenAI, Server], web: Site) -> None:
    client, upstream = allowed
    url = web.url("/dot.png")
    response = ask(client, {"type": "input_image", "image_url": url})
    assert response.status == "completed" and url in prompt(upstream)
    assert "/dot.png" not in {asked.path for asked in web.asked}
