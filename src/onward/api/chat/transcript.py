"""Stored items → the messages of a completion, a page at a time.

An assistant message may be several items (its text, then its calls); it is named by the first of them.
"""

from collections.abc import Sequence
from typing import Final, cast

import msgspec
from msgspec import Struct

from onward.api.chat.view import Fields, read_answer
from onward.core.items import Item
from onward.ports.runs import Page, Run, Runs

ITEMS: Final = 100
"""Items that are read at once."""

_decode = msgspec.json.Decoder(Fields).decode


class MessagePage(Struct, frozen=True):
    """Messages as they are shown, each with its `id`."""

    messages: Sequence[Fields]
    has_more: bool


async def read_messages(runs: Runs, run: Run, page: Page) -> MessagePage:
    """Return a page of the messages that a completion was given. Raises NotFoundError for an unknown cursor."""
    up = page.order == "asc"
    groups: list[list[Item]] = []
    skipping = up and page.after is not None and await _begins_answer(runs, page.after)
    cursor = page.after
    more = True
    while more and len(groups) <= page.limit:
        found = await runs.input_page(run, Page(limit=ITEMS, order=page.order, after=cursor))
        more = found.has_more and bool(found.items)
        for item in found.items:
            cursor = item.id
            skipping = skipping and item.type == "function_call"
            if not skipping:
                _add(groups, item, up=up)
    # The last group may go on in items that were not read: it only tells that there is more.
    whole = groups if up else [group[::-1] for group in groups]
    shown = whole[: page.limit]
    return MessagePage([_message(group) for group in shown], len(whole) > page.limit)


async def _begins_answer(runs: Runs, item_id: str) -> bool:
    item = await runs.item(item_id)
    return item is not None and (item.role == "assistant" or item.type == "function_call")


def _add(groups: list[list[Item]], item: Item, *, up: bool) -> None:
    """Put an item to the message that it belongs to: calls follow the text, or the call, of their message."""
    later, earlier = (item, groups[-1][-1] if groups else None) if up else (groups[-1][-1] if groups else None, item)
    joined = later is not None and earlier is not None and later.type == "function_call" and _is_answer(earlier)
    if joined:
        groups[-1].append(item)
    else:
        groups.append([item])


def _is_answer(item: Item) -> bool:
    return item.type == "function_call" or item.role == "assistant"


def _message(group: Sequence[Item]) -> Fields:
    first = group[0]
    fields = _decode(first.body)
    head: Fields = {"id": first.id}
    if _is_answer(first):
        answer = head | read_answer(group, legacy=False)
    elif first.type == "function_call_output":
        output = fields["output"]
        content = output if isinstance(output, str) else None
        parts = None if isinstance(output, str) else _parts(output)
        answer = head | {"role": "tool", "tool_call_id": first.call_id, "content": content, "content_parts": parts}
    else:
        answer = head | {"role": first.role} | _content(fields["content"])
    return answer | ({"name": fields["name"]} if isinstance(fields.get("name"), str) else {})


def _content(content: object) -> Fields:
    parts = _parts(content)
    if len(parts) == 1 and parts[0]["type"] == "text":
        return {"content": parts[0]["text"], "content_parts": None}
    return {"content": None, "content_parts": parts}


def _parts(content: object) -> list[Fields]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in cast("list[Fields]", content)]


def _part(part: Fields) -> Fields:
    match part["type"]:
        case "input_image":
            return {"type": "image_url", "image_url": {"url": part.get("image_url"), "detail": part.get("detail")}}
        case "input_file":
            return {"type": "file", "file": {name: value for name, value in part.items() if name != "type"}}
        case _:
            return {"type": "text", "text": part.get("text", "")}
