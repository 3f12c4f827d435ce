"""`prompt` of a create call: a stored configuration fills in what the request leaves out, its variables are put in.

What a prompt says stands before the history of this one turn; nothing of it enters a conversation or a chain.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from onward.api.body import decode_json, describe_mismatch
from onward.api.errors import too_long
from onward.api.responses.input_items import Fields, read_item, read_part
from onward.api.responses.wire import NULL, CreateResponse, Reasoning, TextField
from onward.core.errors import RequestError
from onward.core.items import Item, encode, item_text, read_message
from onward.ports.prompts import Prompts, PromptVersion, no_such_prompt

MAX_VARIABLES: Final = 100
MAX_VERSION: Final = 10**9
VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
INSTRUCTING: Final = ("system", "developer")

Variables = Mapping[str, Fields]
"""Name → a content part: input_text, input_image or input_file."""


def _null() -> Raw:
    return NULL


class Configuration(Struct, frozen=True):
    """What a prompt's version says of a turn; each member means what it means in a create call.

    `instructions` is one developer message, or messages of any role.
    """

    model: str | None = None
    instructions: str | list[Raw] | None = None
    tools: Raw = msgspec.field(default_factory=_null)
    tool_choice: Raw = msgspec.field(default_factory=_null)
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    text: TextField | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None


class PromptField(Struct, frozen=True):
    """`prompt` as it comes."""

    id: str
    version: str | None = None
    variables: dict[str, str | Fields] | None = None


class Applied(Struct, frozen=True):
    """A create call with its prompt put in. `instructions` and `prompt` are what the response shows, as JSON.

    `varies` tells whether the instructions depend on variables. Where the request brings its own instructions, those
    of the prompt are left out and `instructions` is UNSET.
    """

    body: CreateResponse
    preamble: tuple[Item, ...] = ()
    prompt: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    varies: bool = False


_decode_field = msgspec.json.Decoder(PromptField)
decode_configuration = msgspec.json.Decoder(Configuration)
_decode_fields = msgspec.json.Decoder(Fields).decode


async def apply_prompt(body: CreateResponse, prompts: Prompts) -> Applied:
    """Return the body with what its prompt says. Raises RequestError, NotFoundError (`prompt_not_found`)."""
    if bytes(body.prompt) == bytes(NULL):
        return Applied(body)
    field = _read_field(bytes(body.prompt))
    variables = _read_variables(field)
    version = await _version(field, prompts)
    configuration = decode_json(version.configuration, decode_configuration)
    shown = {"id": field.id, "variables": field.variables or {}, "version": str(version.number)}
    prompt = Raw(encode(shown))
    filled = fill_in(body, configuration)
    if body.instructions is not None or configuration.instructions is None:
        return Applied(filled, prompt=prompt)
    templates = templates_of(configuration)
    used = names_in(templates)
    if missing := [name for name in used if name not in variables]:
        raise RequestError(
            f"Missing prompt variables: {', '.join(missing)}", param="prompt.variables", code="missing_prompt_variables"
        )
    items = [_render(template, variables) for template in templates]
    text, preamble = fold(items, alone=not body.input and not body.previous_response_id and not body.conversation)
    instructions = b"[" + b",".join(item.body for item in items) + b"]"
    return Applied(
        body=msgspec.structs.replace(filled, instructions=text),
        preamble=preamble,
        prompt=prompt,
        instructions=Raw(instructions),
        varies=bool(used),
    )


def fill_in(body: CreateResponse, configuration: Configuration) -> CreateResponse:
    """Return a create call with the members of a configuration that it leaves out, but for `instructions`."""
    given = {
        name: value
        for name in Configuration.__struct_fields__
        if name != "instructions" and _is_given(value := getattr(configuration, name))
        if not _is_given(getattr(body, name))
    }
    return msgspec.structs.replace(body, **given) if given else body


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, Raw) and bytes(value) == bytes(NULL))


def _read_field(raw: bytes) -> PromptField:
    try:
        return _decode_field.decode(raw)
    except msgspec.ValidationError as error:
        raise describe_mismatch(str(error), at="prompt", kind=PromptField) from error


async def _version(field: PromptField, prompts: Prompts) -> PromptVersion:
    number = None
    if field.version is not None:
        number = read_version(field.version)
        if number is None:
            raise no_such_prompt(field.id, field.version)
    return await prompts.version(field.id, number)


def read_version(written: str) -> int | None:
    """Return the number that a version is written with, None for what is no version."""
    if not written.isascii() or not written.isdigit() or written[0] == "0" or len(written) > len(str(MAX_VERSION)):
        return None
    number = int(written)
    return number if number <= MAX_VERSION else None


def _read_variables(field: PromptField) -> Variables:
    given = field.variables or {}
    if len(given) > MAX_VARIABLES:
        raise too_long("prompt.variables", len(given), maximum=MAX_VARIABLES, kind="object")
    return {
        name: read_part("user", {"type": "input_text", "text": value} if isinstance(value, str) else value, path)
        for name, value in given.items()
        for path in (f"prompt.variables.{name[:100]}",)
    }


def templates_of(configuration: Configuration) -> list[Fields]:
    """Return the messages of a prompt as it stands: a string is one developer message."""
    instructions = configuration.instructions
    if instructions is None:
        return []
    if isinstance(instructions, str):
        return [{"type": "message", "role": "developer", "content": instructions}]
    return [_decode_fields(raw) for raw in instructions]


def names_in(templates: Sequence[Fields]) -> list[str]:
    """Return the names of the variables that messages use, in the order of their first use."""
    found: dict[str, None] = {}
    for template in templates:
        for part in _parts(template):
            text = part.get("text")
            found.update(dict.fromkeys(VARIABLE.findall(text)) if isinstance(text, str) else {})
    return list(found)


def _parts(template: Fields) -> list[Fields]:
    content = template.get("content")
    if isinstance(content, str):
        kind = "output_text" if template.get("role") == "assistant" else "input_text"
        return [{"type": kind, "text": content}]
    return cast("list[Fields]", content) if isinstance(content, list) else []


def _render(template: Fields, variables: Variables) -> Item:
    parts = [made for part in _parts(template) for made in _substitute(part, variables)]
    item = read_item(template | {"content": parts}, "prompt")
    assert isinstance(item, Item)
    return item


def _substitute(part: Fields, variables: Variables) -> list[Fields]:
    """Return a part with its variables put in: text within its text, images and files as parts of their own."""
    text = part.get("text")
    if not isinstance(text, str):
        return [part]
    made: list[Fields] = []
    pending = ""
    for place, piece in enumerate(VARIABLE.split(text)):
        value = variables[piece] if place % 2 else None
        if value is None:
            pending += piece
        elif value["type"] == "input_text":
            pending += str(value["text"])
        else:
            if pending.strip():
                made.append(part | {"text": pending})
            pending = ""
            made.append(value)
    return [*made, part | {"text": pending}] if pending.strip() or not made else made


def fold(items: Sequence[Item], *, alone: bool) -> tuple[str | None, tuple[Item, ...]]:
    """Return what of a prompt's messages goes as instructions, and what as messages before the history.

    Instructions are the system and developer messages that it begins with, where they are text. A prompt that stands
    `alone`, without input, keeps at least one message.
    """
    leading = 0
    while leading < len(items) and _instructs(items[leading]):
        leading += 1
    if alone and leading == len(items):
        leading = 0
    text = "\n\n".join(item_text(item) for item in items[:leading])
    return text if leading else None, tuple(items[leading:])


def _instructs(item: Item) -> bool:
    content = read_message(item.body).content
    return item.role in INSTRUCTING and all(isinstance(part, str) or part.text is not None for part in content)
