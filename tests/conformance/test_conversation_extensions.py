"""Conversations beyond OpenAI's: lists by metadata, forks, export and import."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from plain_http import Answer, Plain
from servers import Server

JSONL = {"content-type": "application/jsonl"}


def texts(client: OpenAI, conversation_id: str) -> list[str]:
    items: Any = client.conversations.items.list(conversation_id, order="asc")
    return [item.content[0].text for item in items if item.type == "message"]


def fork(client: OpenAI, conversation_id: str, **body: Any) -> Any:
    return client.post(f"/conversations/{conversation_id}/fork", cast_to=object, body=body)


def bring_in(server: Server, lines: list[Any], query: str = "") -> Answer:
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    return Plain(server.port).request("POST", f"/conversations/import{query}", body, JSONL)


@pytest.mark.ledger("conversations:list", "conversations:list_by_metadata")
def test_conversations_are_listed_and_found_by_metadata(client: OpenAI, server: Server) -> None:
    tag = client.conversations.create().id
    made = [client.conversations.create(metadata={"tag": tag, "user": f"u{n % 2}"}).id for n in range(4)]
    client.conversations.update(made[0], metadata={"tag": tag, "user": "u1"})
    get = Plain(server.port).get
    everything = get("/conversations", {"limit": 2}).json()
    assert [one["id"] for one in everything["data"]] == [made[3], made[2]] and everything["has_more"] is True
    assert everything["data"][0] == client.conversations.retrieve(made[3]).to_dict()
    mine = get("/conversations", {"metadata[tag]": tag, "order": "asc"}).json()
    assert [one["id"] for one in mine["data"]] == made and mine["has_more"] is False
    theirs = get("/conversations", {"metadata[tag]": tag, "metadata[user]": "u1"}).json()
    assert [one["id"] for one in theirs["data"]] == [made[3], made[1], made[0]]
    client.conversations.delete(made[1])
    rest = get("/conversations", {"metadata[tag]": tag, "after": made[1]}).json()
    assert [one["id"] for one in rest["data"]] == [made[0]]
    assert get("/conversations", {"after": "conv_no"}).status == 404
    assert get("/conversations", {"limit": 0}).error()["param"] == "limit"


@pytest.mark.ledger("conversations:fork_whole", "conversations:fork_apart")
def test_a_fork_begins_as_its_origin_and_goes_its_own_way(client: OpenAI) -> None:
    origin = client.conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "seed"}])
    client.responses.create(model="m", input="one", conversation=origin.id)
    made = fork(client, origin.id)
    assert made["id"] != origin.id and made["object"] == "conversation" and made["metadata"] == {"a": "b"}
    response = client.responses.create(model="m", input="there", conversation=made["id"])
    assert response.conversation is not None and response.conversation.id == made["id"]
    client.responses.create(model="m", input="here", conversation=origin.id)
    common = ["seed", "one", "You said: one"]
    assert texts(client, origin.id) == [*common, "here", "You said: here"]
    assert texts(client, made["id"]) == [*common, "there", "You said: there"]
    given: Any = client.responses.input_items.list(response.id, order="asc")
    assert [item.content[0].text for item in given] == [*common, "there"]
    items: Any = client.conversations.items.list(made["id"], order="asc").data
    client.conversations.items.delete(items[0].id, conversation_id=made["id"])
    assert texts(client, made["id"]) == ["one", "You said: one", "there", "You said: there"]
    client.conversations.delete(origin.id)
    following = client.responses.create(model="m", input="still", conversation=made["id"])
    assert following.status == "completed" and len(texts(client, made["id"])) == 6


@pytest.mark.ledger("conversations:fork_up_to")
def test_a_fork_up_to_an_item_ends_with_it(client: OpenAI) -> None:
    origin = client.conversations.create(items=[{"role": "user", "content": str(n)} for n in range(5)])
    items: Any = client.conversations.items.list(origin.id, order="asc").data
    made = fork(client, origin.id, up_to=items[2].id, metadata={"branch": "x"})
    assert texts(client, made["id"]) == ["0", "1", "2"] and made["metadata"] == {"branch": "x"}
    again = fork(client, made["id"], up_to=items[0].id)
    assert texts(client, again["id"]) == ["0"] and again["metadata"] == {"branch": "x"}
    with pytest.raises(openai.NotFoundError) as error:
        fork(client, again["id"], up_to=items[1].id)
    assert error.value.param == "up_to"
    with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_no' not found"):
        fork(client, "conv_no")


@pytest.mark.ledger("conversations:export", "conversations:import")
def test_an_export_comes_back_whole_on_another_server(
    client: OpenAI, server: Server, serve_here: Callable[..., Server]
) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}
    start: Any = [{"role": "user", "content": [{"type": "input_text", "text": "li\nne"}, image]}]
    conversation = client.conversations.create(metadata={"a": "b"}, items=start)
    client.responses.create(model="m", input="one", conversation=conversation.id)
    answer = Plain(server.port).get(f"/conversations/{conversation.id}/export")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[0]["object"] == "conversation.export" and lines[0]["id"] == conversation.id
    assert lines[1]["content"][1]["image_url"] == image["image_url"]
    assert lines[-1] == {"object": "conversation.export.end", "items": 3}
    other = serve_here()
    imported = Plain(other.port).request("POST", "/conversations/import", answer.body, JSONL)
    assert imported.json() == conversation.to_dict()
    there = other.client()
    assert texts(there, conversation.id) == texts(client, conversation.id)
    again = Plain(other.port).get(f"/conversations/{conversation.id}/export")
    assert [json.loads(line) for line in again.body.splitlines()] == lines
    response = there.responses.create(model="m", input="two", conversation=conversation.id)
    assert response.status == "completed"


@pytest.mark.ledger("conversations:import_again")
def test_an_import_again_changes_nothing_and_another_one_is_refused(client: OpenAI, server: Server) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "x"}])
    lines = Plain(server.port).get(f"/conversations/{conversation.id}/export").body.splitlines()
    assert bring_in(server, [*lines]).json() == conversation.to_dict()
    assert texts(client, conversation.id) == ["x"]
    client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "y"}])
    refused = bring_in(server, [*lines])
    assert refused.status == 409 and refused.error()["code"] == "conversation_exists"
    assert refused.headers["x-should-retry"] == "false"
    copy = bring_in(server, [*lines], "?new_id=true").json()
    assert copy["id"] != conversation.id and texts(client, copy["id"]) == ["x"]
    client.conversations.delete(conversation.id)
    assert bring_in(server, [*lines]).json()["id"] == conversation.id
    assert texts(client, conversation.id) == ["x"]


@pytest.mark.ledger("conversations:import_items")
def test_items_alone_become_a_conversation_however_many(client: OpenAI, server: Server) -> None:
    made = bring_in(server, [{"role": "user", "content": f"number {n}"} for n in range(700)]).json()
    assert made["object"] == "conversation"
    assert texts(client, made["id"]) == [f"number {n}" for n in range(700)]


HEAD: dict[str, Any] = {"object": "conversation.export", "id": "conv_never", "created_at": 5, "metadata": {}}
END: dict[str, Any] = {"object": "conversation.export.end", "items": 1}
ITEM: dict[str, Any] = {"role": "user", "content": "x"}


@pytest.mark.ledger("conversations:import_refusals")
@pytest.mark.parametrize(
    ("lines", "param", "words"),
    [
        ([], None, "The import is empty"),
        ([HEAD, ITEM], None, "ends early"),
        ([HEAD, ITEM, ITEM, END], None, "has 2 items, but its last line tells of 1"),
        ([HEAD, b"{nonsense", END], "line 2", "line 2"),
        ([HEAD, [1], END], "line 2", "expected an object"),
        ([HEAD, {"role": "wizard", "content": "x"}, END], "line 2.role", "wizard"),
        ([HEAD, {"type": "item_reference", "id": "msg_1"}, END], "line 2", "no references"),
        ([HEAD, ITEM | {"id": "msg_a"}, ITEM | {"id": "msg_a"}, END], "line 3", "Duplicate item found with id msg_a"),
        ([HEAD | {"id": "resp_1"}, ITEM, END], "id", "begins with 'conv_'"),
        ([HEAD | {"created_at": -1}, ITEM, END], "created_at", "seconds since the epoch"),
        ([HEAD | {"metadata": {"a": 1}}, ITEM, END], "metadata.a", "expected a string"),
    ],
)
def test_an_import_that_is_wrong_leaves_nothing(
    server: Server, lines: list[Any], param: str | None, words: str
) -> None:
    refused = bring_in(server, lines)
    assert refused.status == 400
    assert refused.error()["param"] == param and words in refused.error()["message"]
    assert Plain(server.port).get("/conversations/conv_never").status == 404
