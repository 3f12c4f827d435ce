"""What a response repeats of its request, rendered once: `config` is shared by turns that ask alike, `extra` is not.

Both are JSON objects whose members stand in a response as they are.
"""

from msgspec import UNSET

from onward.api.responses.prompt import Applied
from onward.api.responses.wire import CreateResponse, FormatField
from onward.core.items import encode


def render_config(applied: Applied, tools: bytes) -> bytes:
    """Return the members that one application sends with every turn, defaults filled in."""
    body = applied.body
    text = {"format": _format(body.text.format if body.text else None), "verbosity": _verbosity(body)}
    reasoning = body.reasoning
    summary = (reasoning.summary or reasoning.generate_summary) if reasoning else None
    choice = bytes(body.tool_choice)
    return b"".join(
        (
            b"{" if applied.varies else b'{"instructions":%b,' % _instructions(applied),
            _absent(body),
            b'"frequency_penalty":',
            encode(body.frequency_penalty or 0.0),
            b',"max_output_tokens":',
            encode(body.max_output_tokens),
            b',"max_tool_calls":',
            encode(body.max_tool_calls),
            b',"parallel_tool_calls":',
            encode(body.parallel_tool_calls is not False),
            b',"presence_penalty":',
            encode(body.presence_penalty or 0.0),
            b',"reasoning":',
            encode({"effort": reasoning.effort if reasoning else None, "summary": summary}),
            b',"service_tier":',
            encode(_tier(body.service_tier)),
            b',"temperature":',
            encode(1.0 if body.temperature is None else body.temperature),
            b',"text":',
            encode(text),
            b',"tool_choice":',
            b'"auto"' if choice == b"null" else choice,
            b',"tools":',
            tools,
            b',"top_logprobs":',
            encode(body.top_logprobs or 0),
            b',"top_p":',
            encode(1.0 if body.top_p is None else body.top_p),
            b',"truncation":',
            encode(body.truncation or "disabled"),
            b"}",
        )
    )


def _absent(body: CreateResponse) -> bytes:
    """Return null for what a response always has; where it was sent it stands in `extra`."""
    names = ("prompt_cache_key", "safety_identifier")
    return b"".join(b'"%b":null,' % name.encode() for name in names if getattr(body, name) is None)


def _instructions(applied: Applied) -> bytes:
    return encode(applied.body.instructions if applied.instructions is UNSET else applied.instructions)


def render_extra(applied: Applied) -> bytes:
    """Return the members that change from turn to turn; an empty object where none was sent."""
    body = applied.body
    given = {
        "instructions": applied.instructions if applied.varies else None,
        "prompt": None if applied.prompt is UNSET else applied.prompt,
        "prompt_cache_key": body.prompt_cache_key,
        "prompt_cache_retention": body.prompt_cache_retention,
        "safety_identifier": body.safety_identifier,
        "token_budget": body.token_budget,
        "user": body.user,
    }
    return encode({name: value for name, value in given.items() if value is not None})


def _tier(tier: str | None) -> str:
    return {"auto": "default", None: "default", "fast": "priority"}.get(tier, tier or "default")


def _verbosity(body: CreateResponse) -> str:
    return (body.text.verbosity if body.text else None) or "medium"


def _format(field: FormatField | None) -> object:
    if field is None or field.type == "text":
        return {"type": "text"}
    if field.type == "json_object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "description": field.description,
        "name": field.name,
        "schema": field.schema,
        "strict": field.strict is True,
    }
