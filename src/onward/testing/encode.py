"""A scripted reply → the bytes of chat completion chunks or of one completion.

The frame around a text is encoded once, so that a benchmark measures the server under test and not this one.
"""

import msgspec

from onward.testing.replies import split_words
from onward.testing.script import Call, Prompt, Reply, TokenCount

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


def pieces(text: str | tuple[str, ...]) -> list[str]:
    """Return the chunks of `text`."""
    return split_words(text) if isinstance(text, str) else list(text)


def encode_chunks(reply: Reply, prompt: Prompt, *, number: int) -> list[bytes]:
    """Return the events of a stream, the last one without `[DONE]`. `number` makes ids unique."""
    head = b'data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":1700000000,"model":%s,"choices":[' % (
        number,
        _encode(prompt.model),
    )
    prefix = head + b'{"index":0,"delta":{'
    suffix = b'},"finish_reason":null}]}\n\n'
    out = [prefix + b'"role":"assistant","content":""' + suffix]
    for field, text in (("reasoning_content", reply.reasoning), ("content", reply.text), ("refusal", reply.refusal)):
        opening = prefix + b'"%s":' % field.encode()
        out += [opening + _encode(piece) + suffix for piece in pieces(text)]
    for index, call in enumerate(reply.tool_calls):
        out += [prefix + b'"tool_calls":[%s]' % _encode(part) + suffix for part in _call_parts(call, index, number)]
    out.append(head + b'{"index":0,"delta":{},"finish_reason":"%s"}]}\n\n' % finish_reason(reply).encode())
    if prompt.stream_options is not None and prompt.stream_options.include_usage:
        out.append(head + b'],"usage":%s}\n\n' % _encode(usage_body(count_tokens(reply, prompt))))
    return out


def encode_completion(reply: Reply, prompt: Prompt, *, number: int) -> bytes:
    """Return the body of an answer that is not streamed."""
    message: dict[str, object] = {"role": "assistant", "content": "".join(pieces(reply.text)) or None}
    if reply.reasoning:
        message["reasoning_content"] = "".join(pieces(reply.reasoning))
    if reply.refusal:
        message["refusal"] = "".join(pieces(reply.refusal))
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call_id(call, index, number),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_text(call)},
            }
            for index, call in enumerate(reply.tool_calls)
        ]
    return _encode(
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1700000000,
            "model": prompt.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(reply)}],
            "usage": usage_body(count_tokens(reply, prompt)),
        }
    )


def finish_reason(reply: Reply) -> str:
    """Return the reason that ends the reply."""
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def arguments_text(call: Call) -> str:
    """Return the arguments as the text a model writes."""
    return call.arguments if isinstance(call.arguments, str) else _encode(call.arguments).decode()


def call_id(call: Call, index: int, number: int) -> str:
    """Return the id of a call."""
    return call.id or f"call_{number}_{index}"


def count_tokens(reply: Reply, prompt: Prompt) -> TokenCount:
    """Return the usage of the reply: as scripted, else one token a word."""
    if reply.usage is not None:
        return reply.usage
    said = len(pieces(reply.text)) + len(pieces(reply.reasoning)) + len(pieces(reply.refusal))
    called = sum(len(split_words(arguments_text(call))) + 1 for call in reply.tool_calls)
    heard = sum(len(message.text().split()) for message in prompt.messages)
    return TokenCount(
        prompt_tokens=heard, completion_tokens=said + called, reasoning_tokens=len(pieces(reply.reasoning))
    )


def usage_body(count: TokenCount) -> dict[str, object]:
    """Return usage in the shape of the wire."""
    return {
        "prompt_tokens": count.prompt_tokens,
        "completion_tokens": count.completion_tokens,
        "total_tokens": count.prompt_tokens + count.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": count.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": count.reasoning_tokens},
    }


def _call_parts(call: Call, index: int, number: int) -> list[dict[str, object]]:
    text = arguments_text(call)
    half = len(text) // 2
    opening: dict[str, object] = {
        "index": index,
        "id": call_id(call, index, number),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    fragments = [text[:half], text[half:]] if half else [text]
    return [opening, *({"index": index, "function": {"arguments": fragment}} for fragment in fragments)]
