"""Stored prompts: `/v1/prompts` with versions, and `prompt` of a create call with its variables."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from servers import Server, scripted, serve, upstream_of

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
MESSAGES: Any = [
    {"role": "developer", "content": "You help {{customer}}."},
    {"role": "user", "content": [{"type": "input_text", "text": "Look at {{ picture }} and at {{note}}."}]},
]


@pytest.fixture(scope="module")
def here() -> Iterator[tuple[OpenAI, Server]]:
    """A server and its upstream."""
    with scripted([]) as pair:
        yield pair


def make(client: OpenAI, **body: Any) -> Any:
    return client.post("/prompts", cast_to=object, body=body)


def get(client: OpenAI, path: str) -> Any:
    return client.get(f"/prompts{path}", cast_to=object)


def sent(pair: tuple[OpenAI, Server]) -> Any:
    """Return the body that the upstream received last."""
    return pair[0]._client.get(f"{pair[1].url}/requests").json()["data"][-1]["body"]


@pytest.mark.ledger("prompts:create", "prompts:retrieve", "prompts:update", "prompts:versions", "prompts:select")
def test_a_prompt_is_made_changed_and_kept_in_versions(client: OpenAI) -> None:
    made = make(client, name="Greeter", metadata={"team": "a"}, model="gpt-5", instructions="Greet {{who}}.")
    assert made["id"].startswith("pmpt_") and made["object"] == "prompt" and made["version"] == "1"
    assert made["variables"] == ["who"] and made["model"] == "gpt-5" and made["temperature"] is None
    assert get(client, f"/{made['id']}") == made
    path = f"/prompts/{made['id']}"
    changed: Any = client.post(path, cast_to=object, body={"temperature": 0.25, "model": None})
    assert (changed["version"], changed["latest_version"]) == ("2", "2")
    assert (changed["temperature"], changed["model"]) == (0.25, None)
    assert changed["instructions"] == "Greet {{who}}."
    renamed: Any = client.post(path, cast_to=object, body={"name": "Host", "metadata": {}})
    assert (renamed["version"], renamed["name"], renamed["metadata"]) == ("2", "Host", {})
    first = get(client, f"/{made['id']}/versions/1")
    assert first["object"] == "prompt.version" and first["temperature"] is None and first["model"] == "gpt-5"
    listed = get(client, f"/{made['id']}/versions")
    assert [version["id"] for version in listed["data"]] == ["2", "1"] and listed["has_more"] is False
    rest = get(client, f"/{made['id']}/versions?after=2&limit=1")
    assert [version["version"] for version in rest["data"]] == ["1"]
    back: Any = client.post(path, cast_to=object, body={"current_version": "1"})
    assert (back["version"], back["latest_version"], back["model"]) == ("1", "2", "gpt-5")


@pytest.mark.ledger("prompts:list", "prompts:delete")
def test_prompts_are_listed_and_deleted(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    ids = [make(client, instructions=f"Number {n}.")["id"] for n in range(4)]
    page = get(client, "?limit=2")
    assert [prompt["id"] for prompt in page["data"]] == [ids[3], ids[2]] and page["has_more"] is True
    gone: Any = client.delete(f"/prompts/{ids[2]}", cast_to=object)
    assert gone == {"id": ids[2], "object": "prompt.deleted", "deleted": True}
    rest = get(client, f"?limit=1&after={ids[2]}")
    assert [prompt["id"] for prompt in rest["data"]] == [ids[1]]
    for attempt in (
        lambda: get(client, f"/{ids[2]}"),
        lambda: get(client, f"/{ids[2]}/versions/1"),
        lambda: client.responses.create(model="m", input="x", prompt={"id": ids[2]}),
    ):
        with pytest.raises(openai.NotFoundError, match=f"Prompt with id '{ids[2]}' not found.") as error:
            attempt()
        assert error.value.code == "prompt_not_found"


@pytest.mark.ledger("prompts:import")
def test_prompts_come_in_under_their_own_ids_and_versions(client: OpenAI) -> None:
    name = "pmpt_68b0c29740048196bd3a6e6ac3c4d0e20ed9a13f0d15bf5e"
    made = make(client, id=name, version="7", instructions="Seven.")
    assert (made["id"], made["version"]) == (name, "7")
    older: Any = client.post(
        f"/prompts/{name}/versions", cast_to=object, body={"version": "3", "instructions": "Three."}
    )
    assert (older["version"], older["prompt_id"]) == ("3", name)
    assert get(client, f"/{name}")["instructions"] == "Seven."
    response = client.responses.create(model="gpt-5", input="hi", prompt={"id": name, "version": "3"})
    assert response.prompt is not None and response.prompt.version == "3"
    for attempt in (
        lambda: make(client, id=name, instructions="again"),
        lambda: client.post(f"/prompts/{name}/versions", cast_to=object, body={"version": "3"}),
    ):
        with pytest.raises(openai.ConflictError, match="exists already"):
            attempt()
    with pytest.raises(openai.BadRequestError, match="begins with 'pmpt_'"):
        make(client, id="asst_1", instructions="x")


@pytest.mark.ledger("prompts:use", "prompts:override", "prompts:echo")
def test_a_prompt_fills_in_what_the_request_leaves_out(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    made = make(client, model="small", instructions="Greet {{who}}.", temperature=0.5, top_p=0.5, tools=[tool])
    client.post(f"/prompts/{made['id']}", cast_to=object, body={"instructions": "Hail {{who}}, twice {{ who }}."})
    response = client.responses.create(
        input="hi", temperature=0.75, prompt={"id": made["id"], "variables": {"who": "Ada {{who}}"}}
    )
    body = sent(here)
    assert body["model"] == "small" and body["messages"][0]["content"] == "Hail Ada {{who}}, twice Ada {{who}}."
    assert (body["temperature"], body["top_p"]) == (0.75, 0.5) and body["tools"][0]["function"]["name"] == "f"
    assert (response.model, response.temperature, response.top_p) == ("small", 0.75, 0.5)
    assert response.prompt is not None and response.prompt.version == "2"
    assert response.prompt.variables == {"who": "Ada {{who}}"}
    assert isinstance(response.instructions, list)
    (shown,) = response.instructions
    assert json.loads(shown.model_dump_json())["content"][0]["text"] == "Hail Ada {{who}}, twice Ada {{who}}."
    assert client.responses.retrieve(response.id) == response
    fixed = client.responses.create(
        input="hi", instructions="Own words.", prompt={"id": made["id"], "version": "1", "variables": {}}
    )
    assert sent(here)["messages"][0]["content"] == "Own words." and fixed.instructions == "Own words."


@pytest.mark.ledger("prompts:variables")
def test_text_images_and_files_are_put_in_as_content(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    made = make(client, instructions=MESSAGES)
    assert made["variables"] == ["customer", "picture", "note"]
    note = base64.b64encode(b"The code is 4711.").decode()
    variables: Any = {
        "customer": {"type": "input_text", "text": "Ada"},
        "picture": IMAGE,
        "note": {"type": "input_file", "filename": "note.txt", "file_data": f"data:text/plain;base64,{note}"},
    }
    response = client.responses.create(model="m", input="now", prompt={"id": made["id"], "variables": variables})
    system, user, question = sent(here)["messages"]
    assert system == {"role": "system", "content": "You help Ada."} and question["content"] == "now"
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "text", "text"]
    assert user["content"][1]["image_url"]["url"] == IMAGE["image_url"]
    texts = [part["text"] for part in user["content"] if part["type"] == "text"]
    assert texts[0] == "Look at " and "The code is 4711." in texts[2] and texts[3] == "."
    assert isinstance(response.instructions, list) and len(response.instructions) == 2
    items: Any = client.responses.input_items.list(response.id)
    assert [item.content[0].text for item in items] == ["now"]


@pytest.mark.ledger("prompts:not_inherited")
def test_a_prompt_counts_for_one_turn_and_is_no_part_of_the_history(here: tuple[OpenAI, Server]) -> None:
    client, _ = here
    made = make(client, model="m", instructions=[*MESSAGES[:1], {"role": "user", "content": "For example this."}])
    prompt: Any = {"id": made["id"], "variables": {"customer": "Ada"}}
    first = client.responses.create(prompt=prompt)
    assert [message["role"] for message in sent(here)["messages"]] == ["system", "user"]
    assert first.status == "completed"
    second = client.responses.create(model="m", input="next", previous_response_id=first.id)
    assert second.prompt is None and second.instructions is None
    assert [message["role"] for message in sent(here)["messages"]] == ["assistant", "user"]
    client.responses.create(prompt=prompt, input="more", previous_response_id=second.id)
    roles = [message["role"] for message in sent(here)["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    conversation = client.conversations.create()
    client.responses.create(prompt=prompt, input="on it", conversation=conversation.id)
    assert len(client.conversations.items.list(conversation.id).data) == 2


@pytest.mark.skipif(
    not hasattr(OpenAI(api_key="x").responses, "input_tokens"), reason="the SDK counts input tokens from its line 2 on"
)
@pytest.mark.ledger("prompts:input_tokens")
def test_what_a_prompt_says_is_counted(client: OpenAI) -> None:
    made = make(client, instructions="Long words of advice. " * 50)
    count: Any = client.responses.input_tokens.count
    bare = count(model="m", input="hi").input_tokens
    assert count(model="m", input="hi", extra_body={"prompt": {"id": made["id"]}}).input_tokens >= bare + 250


@pytest.mark.ledger("prompts:refusals")
@pytest.mark.parametrize(
    ("prompt", "status", "param", "words"),
    [
        ({"id": "pmpt_no"}, 404, "prompt", "Prompt with id 'pmpt_no' not found."),
        ({"id": "$", "version": "9"}, 404, "prompt", "and version '9' not found."),
        ({"id": "$", "version": "one"}, 404, "prompt", "and version 'one' not found."),
        ({"id": "$"}, 400, "prompt.variables", "Missing prompt variables: customer, picture, note"),
        ({"version": "1"}, 400, "prompt.id", "Missing required parameter: 'prompt.id'."),
        ({"id": 7}, 400, "prompt.id", "expected a string"),
        ({"id": "$", "variables": {"customer": 7}}, 400, "prompt.variables[...]", "expected"),
        ({"id": "$", "variables": {"note": {"type": "input_audio"}}}, 400, "prompt.variables.note.type", "input_file"),
        ({"id": "$", "variables": {"note": {"type": "input_file"}}}, 400, "prompt.variables.note.file_id", "Missing"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(
    client: OpenAI, prompt: Any, status: int, param: str, words: str
) -> None:
    made = make(client, instructions=MESSAGES)
    given: Any = prompt | ({"id": made["id"]} if prompt.get("id") == "$" else {})
    with pytest.raises(openai.APIStatusError) as error:
        client.responses.create(model="m", input="x", prompt=given)
    assert error.value.status_code == status and words in str(error.value)
    assert error.value.param == param


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
ANSWER = {"role": "user", "content": [{"type": "output_text", "text": ""}]}


@pytest.mark.ledger("prompts:checked")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"model": 5}, "model"),
        ({"instructions": [CALL]}, "instructions[0].type"),
        ({"instructions": [ANSWER]}, "instructions[0].content[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://example.com/mcp"}]}, "tools[0]"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"name": "x" * 257}, "name"),
        ({"version": "v2"}, "version"),
        ({"truncation": "maybe"}, "truncation"),
    ],
)
def test_a_configuration_is_checked_when_it_is_stored(client: OpenAI, body: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        make(client, **body)
    assert error.value.param == param


@pytest.mark.ledger("prompts:background")
def test_a_background_run_keeps_its_prompt_when_its_process_dies(tmp_path: Path) -> None:
    rules = [{"when": {"contains": "slow"}, "reply": {"text": ["one ", "two ", "three"], "delay": 0.3}}]
    with upstream_of(rules) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        with serve(tmp_path, environment) as server:
            client = server.client()
            made = make(client, instructions=MESSAGES[:1])
            prompt: Any = {"id": made["id"], "variables": {"customer": "Ada"}}
            begun = client.responses.create(model="m", input="slow", prompt=prompt, background=True)
            wait_for(client, begun.id, "in_progress")
            server.kill()
        with serve(tmp_path, environment) as server:
            client = server.client()
            done = wait_for(client, begun.id, "completed")
            assert done.output_text.endswith("one two three")
            assert sent((client, upstream))["messages"][0] == {"role": "system", "content": "You help Ada."}
            assert done.prompt is not None and done.prompt.variables == {"customer": "Ada"}


def wait_for(client: OpenAI, response_id: str, status: str) -> Response:
    """Return a response once it has a status."""
    deadline = time.monotonic() + 20
    while (found := client.responses.retrieve(response_id)).status != status:
        assert time.monotonic() < deadline, f"still {found.status}"
    return found


@pytest.mark.ledger("prompts:projects")
def test_prompts_of_another_project_are_not_found(here: tuple[OpenAI, Server], client: OpenAI) -> None:
    made = make(here[0], instructions="Mine.")
    with pytest.raises(openai.NotFoundError):
        get(client, f"/{made['id']}")
