"""What a scripted model says: rules that match a prompt, and the reply of each, also readable from a JSON file.

It must not know how a reply travels.
"""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

FinishWord = Literal["stop", "length", "tool_calls", "content_filter"]


class Call(Struct, frozen=True, kw_only=True):
    """A tool call of a reply. `arguments` is an object, or a string to be sent as it is (also invalid JSON)."""

    name: str
    arguments: dict[str, object] | str = {}
    id: str | None = None


class TokenCount(Struct, frozen=True, kw_only=True):
    """Usage that a reply reports."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Fault(Struct, frozen=True, kw_only=True):
    """How a reply goes wrong.

    `status`: this status with `headers` and `body` instead of a reply. `cut`: the connection ends after `after` chunks.
    `hang`: nothing more comes after `after` chunks. `malformed`: a chunk that is no JSON. `error`: an error inside
    the stream. `endless`: a line that never ends.
    """

    kind: Literal["status", "cut", "hang", "malformed", "error", "endless"]
    status: int = 500
    headers: dict[str, str] = {}
    body: Raw | UnsetType = UNSET
    after: int = 0


class Reply(Struct, frozen=True, kw_only=True):
    """One answer. A list is sent chunk by chunk, a string word by word.

    `delay`: seconds before each chunk. `burst`: chunks that are written at once. `usage`: counted from words where
    not given.
    """

    text: str | tuple[str, ...] = ()
    reasoning: str | tuple[str, ...] = ()
    refusal: str | tuple[str, ...] = ()
    tool_calls: tuple[Call, ...] = ()
    finish_reason: FinishWord | None = None
    usage: TokenCount | None = None
    delay: float = 0.0
    burst: int = 1
    fault: Fault | None = None


class When(Struct, frozen=True, kw_only=True):
    """Which prompts a rule is for; all conditions that are set must hold.

    `contains`: in the last user message. `last_role`: of the last message. `tools`: whether tools are offered.
    """

    contains: str | None = None
    model: str | None = None
    last_role: str | None = None
    tools: bool | None = None
    stream: bool | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """A reply for some prompts, at most `times` times."""

    reply: Reply
    when: When = When()
    times: int | None = None


class ChatPart(Struct):
    """A content part of a received message."""

    type: str
    text: str | None = None


class ChatCallFunction(Struct):
    """The function of a received call."""

    name: str
    arguments: str = ""


class ChatCall(Struct):
    """A received call."""

    function: ChatCallFunction
    id: str = ""


class ChatMessage(Struct):
    """A received message."""

    role: str
    content: str | list[ChatPart] | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: str | None = None

    def text(self) -> str:
        """Return the text of all parts."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class ChatFunction(Struct):
    """A received function declaration."""

    name: str
    parameters: dict[str, object] | None = None


class ChatTool(Struct):
    """A received tool declaration."""

    function: ChatFunction


class ChatForm(Struct):
    """A received response_format."""

    type: str
    json_schema: dict[str, object] | None = None


class StreamOptions(Struct):
    """Received options of a stream."""

    include_usage: bool = False


class Prompt(Struct):
    """A chat completion request as it was received."""

    messages: list[ChatMessage]
    model: str = "scripted"
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[ChatTool] | None = None
    tool_choice: str | dict[str, object] | None = None
    response_format: ChatForm | None = None

    def last_user_text(self) -> str:
        """Return the text of the last user message."""
        return next((message.text() for message in reversed(self.messages) if message.role == "user"), "")


class Script(Struct, frozen=True, kw_only=True):
    """Rules, the first match counts. A prompt that none matches gets a useful default (see `replies`)."""

    rules: tuple[Rule, ...] = ()
    models: tuple[str, ...] = ("scripted",)


class Player:
    """A script being played: it counts how often each rule was used."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._used = [0] * len(script.rules)

    def find(self, prompt: Prompt) -> Reply | None:
        """Return the reply of the first rule that matches; None where none does."""
        for number, rule in enumerate(self.script.rules):
            if (rule.times is None or self._used[number] < rule.times) and _matches(rule.when, prompt):
                self._used[number] += 1
                return rule.reply
        return None


def read_script(path: Path) -> Script:
    """Return the script in the JSON file at `path`. Raises msgspec.ValidationError with the place of a mistake."""
    return msgspec.json.decode(path.read_bytes(), type=Script)


def _matches(when: When, prompt: Prompt) -> bool:
    if when.contains is not None and when.contains not in prompt.last_user_text():
        return False
    if when.last_role is not None and (not prompt.messages or prompt.messages[-1].role != when.last_role):
        return False
    if when.tools is not None and when.tools != bool(prompt.tools):
        return False
    if when.stream is not None and when.stream != prompt.stream:
        return False
    return when.model is None or when.model == prompt.model
