"""What may stand in `input`: three shapes of a message, images and files, references, and types nobody knows yet."""

import base64
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Server

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fcffff3f030005fe02fea7"
        "9a9d680000000049454e44ae426082"
    )
).decode()


def sent(client: OpenAI, upstream: Server) -> list[Any]:
    return client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]["messages"]


@pytest.mark.ledger("input:message_shapes")
def test_easy_typed_and_output_messages_mean_the_same(client: OpenAI, upstream: Server) -> None:
    items: Any = [
        {"role": "developer", "content": "Be kind"},
        {"role": "user", "content": "easy"},
        {"role": "assistant", "content": "an easy answer"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "typed"}]},
        {
            "type": "message",
            "id": "msg_mine",
            "status": "completed",
            "role": "assistant",
            "phase": "final_answer",
            "content": [{"type": "output_text", "text": "an output", "annotations": []}],
        },
        {"role": "user", "content": "last"},
    ]
    response = client.responses.create(model="gpt-5", input=items)
    messages = sent(client, upstream)
    assert [message["role"] for message in messages][1:] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[0]["role"] in ("system", "developer")
    assert [m["content"] for m in messages] == ["Be kind", "easy", "an easy answer", "typed", "an output", "last"]
    stored: Any = client.responses.input_items.list(response.id, order="asc").data
    assert stored[4].id == "msg_mine" and stored[4].phase == "final_answer"
    assert stored[2].content[0].type == "output_text" and stored[1].content[0].type == "input_text"


@pytest.mark.ledger("input:content_of_the_wrong_role")
def test_input_content_in_an_assistant_message_is_refused(client: OpenAI) -> None:
    items: Any = [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]
    with pytest.raises(openai.BadRequestError, match="Supported values are: 'output_text' and 'refusal'"):
        client.responses.create(model="gpt-5", input=items)


@pytest.mark.ledger("input:images", "input:image_files")
def test_images_reach_the_model_by_url_and_by_file_id(client: OpenAI, upstream: Server) -> None:
    file = client.files.create(file=("dot.png", base64.b64decode(PIXEL)), purpose="vision")
    url = f"data:image/png;base64,{PIXEL}"
    content: Any = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": url},
        {"type": "input_image", "file_id": file.id},
    ]
    response = client.responses.create(model="gpt-5", input=[{"role": "user", "content": content}])
    parts = sent(client, upstream)[-1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url"]
    assert parts[1]["image_url"]["url"] == parts[2]["image_url"]["url"] == url
    plain: Any = client.responses.input_items.list(response.id).data[0]
    assert plain.content[1].image_url is None
    full: Any = client.responses.input_items.list(response.id, include=["message.input_image.image_url"]).data[0]
    assert full.content[1].image_url == url


@pytest.mark.ledger("input:files")
def test_files_reach_the_model_as_their_text(client: OpenAI, upstream: Server) -> None:
    file = client.files.create(file=("note.txt", b"The code is 4711."), purpose="user_data")
    inline = base64.b64encode(b"The word is plum.").decode()
    content: Any = [
        {"type": "input_file", "file_id": file.id},
        {"type": "input_file", "filename": "word.txt", "file_data": f"data:text/plain;base64,{inline}"},
        {"type": "input_text", "text": "what do they say?"},
    ]
    client.responses.create(model="gpt-5", input=[{"role": "user", "content": content}])
    message = sent(client, upstream)[-1]["content"]
    said = message if isinstance(message, str) else "".join(part["text"] for part in message)
    assert "The code is 4711." in said and "The word is plum." in said and "note.txt" in said


@pytest.mark.ledger("input:unknown_file")
def test_a_file_that_does_not_exist_is_a_clear_error(client: OpenAI) -> None:
    content: Any = [{"type": "input_file", "file_id": "file-none"}]
    with pytest.raises(openai.APIStatusError) as error:
        client.responses.create(model="gpt-5", input=[{"role": "user", "content": content}])
    assert error.value.status_code in (400, 404) and "file-none" in str(error.value)


@pytest.mark.ledger("input:item_reference")
def test_an_item_reference_stands_for_a_stored_item(client: OpenAI, upstream: Server) -> None:
    first = client.responses.create(model="gpt-5", input="remember")
    items: Any = [
        {"role": "user", "content": "remember"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "and?"},
    ]
    client.responses.create(model="gpt-5", input=items)
    assert [m["content"] for m in sent(client, upstream)] == ["remember", "You said: remember", "and?"]
    untyped: Any = [{"id": first.output[0].id}, {"role": "user", "content": "more"}]
    client.responses.create(model="gpt-5", input=untyped)
    with pytest.raises(openai.APIStatusError, match="Item with id 'msg_none' not found"):
        client.responses.create(model="gpt-5", input=[{"type": "item_reference", "id": "msg_none"}])


@pytest.mark.ledger("input:duplicate_item")
def test_an_item_that_is_already_in_the_context_is_refused(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input="one")
    again: Any = [first.output[0].to_dict(), {"role": "user", "content": "two"}]
    with pytest.raises(openai.BadRequestError, match=f"Duplicate item found with id {first.output[0].id}"):
        client.responses.create(model="gpt-5", input=again, previous_response_id=first.id)


@pytest.mark.ledger("input:unknown_types")
def test_unknown_item_types_and_fields_are_kept_and_come_back(client: OpenAI) -> None:
    items: Any = [
        {"type": "holographic_call", "id": "hc_1", "beam": {"depth": [1, 2, {"x": None}]}, "note": "ünïcode"},
        {"role": "user", "content": "hi", "mood": "curious"},
    ]
    response = client.responses.create(model="gpt-5", input=items)
    stored = client._client.get(f"{client.base_url}responses/{response.id}/input_items?order=asc").json()["data"]
    assert stored[0] == items[0]
    assert stored[1]["mood"] == "curious"


@pytest.mark.ledger("input:unknown_types")
def test_the_sdk_reads_an_item_of_an_unknown_type_whole(server: Server) -> None:
    client = server.client(strict=False)
    item: Any = {"type": "holographic_call", "id": "hc_2", "beam": {"depth": [1, {"x": None}]}}
    conversation = client.conversations.create(items=[item])
    assert [one.to_dict() for one in client.conversations.items.list(conversation.id)] == [item]
    assert client.conversations.items.retrieve("hc_2", conversation_id=conversation.id).to_dict() == item


@pytest.mark.ledger("input:reasoning_needs_follower")
def test_reasoning_without_its_following_item_is_refused(client: OpenAI) -> None:
    items: Any = [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "x"}]
    with pytest.raises(openai.BadRequestError, match="'rs_1' of type 'reasoning' was provided without its required"):
        client.responses.create(model="gpt-5", input=items)


@pytest.mark.ledger("input:bad_bodies")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"input": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"input": "' + b"x" * 50,
    ],
)
def test_a_body_that_is_not_the_right_json_is_a_400(server: Server, client: OpenAI, body: bytes) -> None:
    answer = client._client.post(
        f"{server.base_url}/responses", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.ledger("input:oversized")
def test_an_oversized_body_is_a_413_and_the_server_goes_on(server: Server, client: OpenAI) -> None:
    answer = client._client.post(
        f"{server.base_url}/responses", content=b'{"input":"' + b"x" * (65 * 1024 * 1024) + b'"}'
    )
    assert answer.status_code == 413
    assert client.responses.create(model="gpt-5", input="still there").status == "completed"
