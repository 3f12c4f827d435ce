"""What a turn made, as a chat completion: one message a choice, why it ended, and what it cost."""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct

from onward.core.items import Item, encode, read_function_call, read_message, read_reasoning
from onward.core.turns import RunStatus
from onward.core.usage import Usage
from onward.ports.completions import StoredCompletion

Fields = dict[str, object]
_decode = msgspec.json.Decoder(Fields).decode


class Head(Struct, frozen=True, kw_only=True):
    """What every chunk and the whole completion begin with. `legacy`: calls are shown as `function_call`."""

    id: str
    created_at: float
    model: str
    legacy: bool = False


def finish_reason(status: RunStatus, incomplete_reason: str | None, *, calls: bool, legacy: bool) -> str:
    """Return why an answer ended, in the words of this dialect."""
    if status == "incomplete":
        return "length" if incomplete_reason == "max_output_tokens" else "content_filter"
    if calls:
        return "function_call" if legacy else "tool_calls"
    return "stop"


def web_annotation(url: str, title: str, start: int, end: int) -> Fields:
    """Return a citation of a web page as an annotation."""
    cited = {"url": url, "title": title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}


def read_answer(output: Sequence[Item], *, legacy: bool) -> Fields:
    """Return the assistant message that output items make together."""
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    annotations: list[Fields] = []
    calls: list[Fields] = []
    for item in output:
        match item.type:
            case "message":
                _read_message(item, texts, refusals, annotations)
            case "function_call":
                call = read_function_call(item.body)
                function = {"name": call.name, "arguments": call.arguments}
                calls.append({"id": call.call_id, "type": "function", "function": function})
            case "reasoning":
                thoughts.extend(part.text for part in read_reasoning(item.body).content or ())
            case _:
                pass
    content = "".join(texts)
    message: Fields = {
        "role": "assistant",
        "content": content if content or not (calls or refusals) else None,
        "refusal": "".join(refusals) or None,
        "annotations": annotations,
    }
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls and legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _read_message(item: Item, texts: list[str], refusals: list[str], annotations: list[Fields]) -> None:
    offset = sum(map(len, texts))
    content = read_message(item.body).content
    if isinstance(content, str):
        texts.append(content)
        return
    for part in content:
        if part.refusal is not None:
            refusals.append(part.refusal)
        if part.text is None:
            continue
        texts.append(part.text)
        for raw in part.annotations:
            note = _decode(raw)
            if note.get("type") == "url_citation":
                start, end = cast("int", note["start_index"]), cast("int", note["end_index"])
                annotations.append(web_annotation(str(note["url"]), str(note["title"]), start + offset, end + offset))


def render_choice(
    head: Head, index: int, output: Sequence[Item], *, status: RunStatus, incomplete_reason: str | None
) -> bytes:
    """Return one choice."""
    message = read_answer(output, legacy=head.legacy)
    called = "tool_calls" in message or "function_call" in message
    reason = finish_reason(status, incomplete_reason, calls=called, legacy=head.legacy)
    return b'{"index":%d,"message":%b,"logprobs":null,"finish_reason":"%b"}' % (
        index,
        encode(message),
        reason.encode(),
    )


def render_completion(
    head: Head, choices: Sequence[bytes], usage: Usage, *, metadata: bytes, more: Sequence[bytes] = ()
) -> bytes:
    """Return a completion; `more` are JSON objects whose members follow."""
    return (
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[%b],"usage":%b,"metadata":%b,'
        b'"service_tier":"default","system_fingerprint":null%b}'
        % (
            encode(head.id),
            int(head.created_at),
            encode(head.model),
            b",".join(choices),
            render_usage(usage),
            metadata,
            b"".join(b"," + members[1:-1] for members in more if len(members) > 2),
        )
    )


def render_usage(usage: Usage) -> bytes:
    """Return `usage` in the words of this dialect."""
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,"accepted_prediction_tokens":0,'
        b'"rejected_prediction_tokens":0}}'
        % (
            usage.input_tokens,
            usage.output_tokens,
            usage.total_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
    )


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Return the usage of several choices: the prompt counts once, every answer counts."""
    total = usages[0]
    for usage in usages[1:]:
        total = msgspec.structs.replace(
            total,
            output_tokens=total.output_tokens + usage.output_tokens,
            reasoning_tokens=total.reasoning_tokens + usage.reasoning_tokens,
            estimated=total.estimated or usage.estimated,
        )
    return total


def render_stored(stored: StoredCompletion) -> bytes:
    """Return a stored completion, with what it shows of its request."""
    return _render(stored, (stored.run.config, stored.run.extra))


def render_again(stored: StoredCompletion) -> bytes:
    """Return a stored completion as it was answered when it was made."""
    return _render(stored, ())


def _render(stored: StoredCompletion, more: Sequence[bytes]) -> bytes:
    run = stored.run
    legacy = "functions" in _decode(run.config)
    head = Head(id=completion_id(run.suffix), created_at=run.created_at, model=run.model, legacy=legacy)
    choice = render_choice(head, 0, stored.output, status=run.status, incomplete_reason=run.incomplete_reason)
    return render_completion(head, [choice], run.usage, metadata=run.metadata, more=more)


PREFIX = "chatcmpl-"


def completion_id(suffix: str) -> str:
    """Return the public id of a completion."""
    return PREFIX + suffix
