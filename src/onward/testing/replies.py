"""What a scripted model says where no rule applies: deterministic, and enough to drive tools and formats.

- a line `call NAME {"json": "arguments"}` in the last user message calls that offered tool, several lines call in
parallel; - a required tool is called with the smallest arguments its schema allows;
- after tool outputs it repeats them; a JSON schema is answered with its smallest instance; else it repeats the user.
"""

import re
from typing import Final, cast

import msgspec

from onward.testing.script import Call, Prompt, Reply

_DIRECTIVE: Final = re.compile(r"^\s*call ([\w.-]+)\s*(\{.*\})?\s*$", re.MULTILINE)


def default_reply(prompt: Prompt) -> Reply:
    """Return the reply to a prompt that no rule matches."""
    if prompt.messages and prompt.messages[-1].role == "tool":
        return Reply(text=f"The tool said: {_tool_outputs(prompt)}")
    calls = _directed_calls(prompt) or _required_calls(prompt)
    if calls:
        return Reply(tool_calls=calls)
    said = prompt.last_user_text() or "nothing"
    if prompt.response_format is not None and prompt.response_format.type != "text":
        return Reply(text=_formatted(prompt, said))
    return Reply(text=f"You said: {said}")


def split_words(text: str) -> list[str]:
    """Return `text` word by word; joined, the words are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _tool_outputs(prompt: Prompt) -> str:
    outputs: list[str] = []
    for message in reversed(prompt.messages):
        if message.role != "tool":
            break
        outputs.insert(0, message.text())
    return " | ".join(outputs)


def _directed_calls(prompt: Prompt) -> tuple[Call, ...]:
    names = {tool.function.name for tool in prompt.tools or ()}
    if not names or prompt.messages[-1].role != "user":
        return ()
    found = _DIRECTIVE.findall(prompt.last_user_text())
    return tuple(Call(name=name, arguments=arguments or "{}") for name, arguments in found if name in names)


def _required_calls(prompt: Prompt) -> tuple[Call, ...]:
    tools = prompt.tools or []
    choice = prompt.tool_choice
    if not tools or choice is None or choice in ("auto", "none"):
        return ()
    tool = tools[0]
    if isinstance(choice, dict):
        wanted = cast("dict[str, object]", choice.get("function") or {}).get("name")
        tool = next((offered for offered in tools if offered.function.name == wanted), tool)
    arguments = smallest_instance(tool.function.parameters or {}, "")
    return (Call(name=tool.function.name, arguments=msgspec.json.encode(arguments or {}).decode()),)


def _formatted(prompt: Prompt, said: str) -> str:
    form = prompt.response_format
    schema = (form.json_schema or {}).get("schema") if form is not None else None
    if not isinstance(schema, dict):
        return msgspec.json.encode({"said": said}).decode()
    return msgspec.json.encode(smallest_instance(cast("dict[str, object]", schema), said)).decode()


def smallest_instance(schema: dict[str, object], text: str, root: dict[str, object] | None = None) -> object:
    """Return a small value that `schema` allows; strings are `text`, of several branches the last one is taken."""
    root = root if root is not None else schema
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return cast("list[object]", options)[0]
    if isinstance(reference := schema.get("$ref"), str):
        return smallest_instance(_resolve(root, reference), text, root)
    for word in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(word), list) and branches:
            return smallest_instance(cast("list[dict[str, object]]", branches)[-1], text, root)
    return _typed_instance(schema, text, root)


def _typed_instance(schema: dict[str, object], text: str, root: dict[str, object]) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = cast("list[object]", kind)[0]
    match kind:
        case "string":
            return text
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "null":
            return None
        case "array":
            item = cast("dict[str, object]", schema.get("items") or {})
            count = schema.get("minItems", 0)
            return [smallest_instance(item, text, root) for _ in range(count if isinstance(count, int) else 0)]
        case _:
            properties = cast("dict[str, dict[str, object]]", schema.get("properties") or {})
            required = cast("list[str]", schema.get("required") or [])
            return {name: smallest_instance(properties.get(name, {}), text, root) for name in required}


def _resolve(root: dict[str, object], reference: str) -> dict[str, object]:
    value = root
    for step in reference.removeprefix("#/").split("/"):
        found = value.get(step)
        if not isinstance(found, dict):
            return {}
        value = cast("dict[str, object]", found)
    return value
