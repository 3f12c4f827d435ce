"""`/v1/conversations`: eight operations, publication after completion, the lock, branches that edits do not reach."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import scripted


def texts(client: OpenAI, conversation_id: str) -> list[str]:
    items: Any = client.conversations.items.list(conversation_id, order="asc")
    return [item.content[0].text for item in items if item.type == "message"]


@pytest.mark.ledger("conversations:create", "conversations:retrieve", "conversations:update")
def test_a_conversation_is_made_read_and_changed(client: OpenAI) -> None:
    made = client.conversations.create(metadata={"topic": "x"}, items=[{"role": "user", "content": "seed"}])
    assert made.id.startswith("conv_") and made.object == "conversation" and made.metadata == {"topic": "x"}
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"topic": "y", "more": "z"})
    assert changed.metadata == {"topic": "y", "more": "z"} and changed.created_at == made.created_at
    assert texts(client, made.id) == ["seed"]


@pytest.mark.ledger("conversations:delete", "conversations:items_survive_delete")
def test_delete_closes_the_name_and_responses_keep_their_items(client: OpenAI) -> None:
    conversation = client.conversations.create()
    response = client.responses.create(model="gpt-5", input="hi", conversation=conversation.id)
    deleted = client.conversations.delete(conversation.id)
    assert deleted.id == conversation.id and deleted.deleted is True and deleted.object == "conversation.deleted"
    with pytest.raises(openai.NotFoundError, match=f"Conversation with id '{conversation.id}' not found."):
        client.conversations.retrieve(conversation.id)
    assert client.responses.retrieve(response.id).output_text == "You said: hi"
    following = client.responses.create(model="gpt-5", input="still?", previous_response_id=response.id)
    assert following.output_text == "You said: still?"


@pytest.mark.ledger("conversations:append_after_completion")
def test_input_and_output_are_appended_when_a_response_completes(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "before"}])
    response = client.responses.create(model="gpt-5", input="now", conversation={"id": conversation.id})
    assert response.conversation is not None and response.conversation.id == conversation.id
    assert texts(client, conversation.id) == ["before", "now", "You said: now"]
    second = client.responses.create(model="gpt-5", input="then", conversation=conversation.id)
    items: Any = client.responses.input_items.list(second.id, order="asc")
    assert [item.content[0].text for item in items] == ["before", "now", "You said: now", "then"]


@pytest.mark.ledger("conversations:items_create", "conversations:items_retrieve", "conversations:items_delete")
def test_items_are_appended_read_and_removed_one_by_one(client: OpenAI) -> None:
    conversation = client.conversations.create()
    made = client.conversations.items.create(
        conversation.id,
        items=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    )
    assert made.object == "list" and len(made.data) == 2 and made.first_id == made.data[0].id
    item_id: str = made.data[0].id  # type: ignore[assignment]
    got: Any = client.conversations.items.retrieve(item_id, conversation_id=conversation.id)
    assert got.role == "user" and got.content[0].type == "input_text"
    answer = client.conversations.items.delete(item_id, conversation_id=conversation.id)
    assert answer.id == conversation.id and answer.object == "conversation"
    assert texts(client, conversation.id) == ["b"]
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(item_id, conversation_id=conversation.id)


@pytest.mark.ledger("conversations:deleted_cursor")
def test_a_cursor_stays_valid_after_its_item_was_deleted(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": str(n)} for n in range(6)])
    page = client.conversations.items.list(conversation.id, limit=2, order="asc")
    client.conversations.items.delete(page.data[-1].id or "", conversation_id=conversation.id)
    rest: Any = client.conversations.items.list(conversation.id, order="asc", after=page.last_id or "")
    assert [item.content[0].text for item in rest] == ["2", "3", "4", "5"]


@pytest.mark.ledger("conversations:item_limit")
def test_more_than_twenty_items_at_once_are_refused(client: OpenAI) -> None:
    many: Any = [{"role": "user", "content": "x"}] * 21
    with pytest.raises(openai.BadRequestError, match="maximum length 20"):
        client.conversations.create(items=many)


@pytest.mark.ledger("conversations:edits_do_not_reach_branches")
def test_a_deleted_item_stays_in_the_context_of_what_branched_before(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "secret"}])
    response = client.responses.create(model="gpt-5", input="one", conversation=conversation.id)
    items: Any = client.conversations.items.list(conversation.id, order="asc")
    client.conversations.items.delete(items.data[0].id, conversation_id=conversation.id)
    branch = client.responses.create(model="gpt-5", input="two", previous_response_id=response.id)
    given: Any = client.responses.input_items.list(branch.id, order="asc")
    assert [item.content[0].text for item in given] == ["secret", "one", "You said: one", "two"]
    assert texts(client, conversation.id) == ["one", "You said: one"]


@pytest.mark.ledger("conversations:lock")
def test_a_busy_conversation_refuses_with_a_400_and_the_contracts_text() -> None:
    rules = [{"when": {"contains": "slow"}, "reply": {"text": ["one ", "two"], "delay": 1.0}}]
    with scripted(rules) as (client, _):
        conversation = client.conversations.create()
        with client.responses.create(model="m", input="slow", conversation=conversation.id, stream=True) as stream:
            assert next(iter(stream)).type == "response.created"
            for attempt in (
                lambda: client.responses.create(model="m", input="quick", conversation=conversation.id),
                lambda: client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "x"}]),
            ):
                with pytest.raises(openai.BadRequestError) as refused:
                    attempt()
                assert refused.value.code == "conversation_locked" and refused.value.param == "conversation"
                assert refused.value.body["message"] == (  # type: ignore[index]
                    "Another process is currently operating on this conversation. Please retry in a few seconds."
                )
            *_, last = stream
        assert last.type == "response.completed"
        assert texts(client, conversation.id) == ["slow", "one two"]


@pytest.mark.ledger("conversations:nothing_appended_on_failure")
def test_a_failed_response_appends_nothing_and_frees_the_conversation() -> None:
    rules = [
        {"when": {"contains": "break"}, "reply": {"text": ["par", "tial"], "fault": {"kind": "cut", "after": 2}}},
    ]
    with scripted(rules) as (client, _):
        conversation = client.conversations.create()
        with pytest.raises(openai.APIStatusError):
            client.responses.create(model="m", input="break", conversation=conversation.id)
        assert texts(client, conversation.id) == []
        response = client.responses.create(model="m", input="fine", conversation=conversation.id)
        assert response.status == "completed"


@pytest.mark.ledger("conversations:unknown")
@pytest.mark.parametrize("operation", ["retrieve", "update", "delete", "list", "items", "respond"])
def test_an_unknown_conversation_is_a_404_everywhere(client: OpenAI, operation: str) -> None:
    calls: Any = {
        "retrieve": lambda: client.conversations.retrieve("conv_no"),
        "update": lambda: client.conversations.update("conv_no", metadata={}),
        "delete": lambda: client.conversations.delete("conv_no"),
        "list": lambda: client.conversations.items.list("conv_no"),
        "items": lambda: client.conversations.items.create("conv_no", items=[{"role": "user", "content": "x"}]),
        "respond": lambda: client.responses.create(model="m", input="x", conversation="conv_no"),
    }
    with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_no' not found"):
        calls[operation]()
