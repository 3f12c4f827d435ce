"""What a server has acknowledged so far, and the checks that all of it still holds after the server died."""

import json
from dataclasses import dataclass, field
from typing import Any

TERMINAL = ("completed", "failed", "incomplete", "cancelled")


@dataclass
class Turn:
    """One response that the server has told of. `answer` is what was acknowledged as its end, if that came."""

    id: str
    question: str
    background: bool
    stream: bool
    conversation: str | None = None
    frames: dict[int, bytes] = field(default_factory=dict[int, bytes])
    answer: dict[str, Any] | None = None
    verified: bool = False


@dataclass
class Journal:
    """Everything acknowledged, by response and conversation."""

    turns: dict[str, Turn] = field(default_factory=dict[str, Turn])
    conversations: list[str] = field(default_factory=list[str])

    def open_turns(self) -> list[Turn]:
        """Return the turns that were not found whole after a death yet."""
        return [turn for turn in self.turns.values() if not turn.verified]


def parse(frame: bytes) -> dict[str, Any]:
    """Return the data of a frame."""
    return json.loads(frame.split(b"\ndata: ", 1)[1])


def text_of(response: dict[str, Any]) -> str:
    """Return the text of a response's messages."""
    return "".join(
        part.get("text", "") for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


def check_turn(turn: Turn, stored: dict[str, Any], expected: str) -> None:
    """Raise AssertionError where a stored response is not what was acknowledged, or no truthful end."""
    assert stored["status"] in TERMINAL, (turn, stored["status"])
    if turn.answer is not None:
        assert stored["status"] == turn.answer["status"], (turn, stored["status"])
        assert text_of(stored) == text_of(turn.answer), turn
    elif turn.background:
        assert stored["status"] == "completed", (turn, stored["status"], stored["error"])
    if stored["status"] == "completed":
        assert expected in text_of(stored), (turn, stored["output"])
    if stored["status"] == "failed":
        assert stored["error"], turn


def check_stream(turn: Turn, frames: list[bytes]) -> None:
    """Raise AssertionError where a replayed stream contradicts what was sent before."""
    assert frames[-1] == b"data: [DONE]", turn
    told = {parse(frame)["sequence_number"]: frame for frame in frames[:-1]}
    numbers = list(told)
    assert len(told) == len(frames) - 1 and numbers == sorted(numbers), (turn, numbers)
    for number, frame in turn.frames.items():
        if turn.background or turn.answer is not None:
            assert told.get(number) == frame, (turn.id, number, frame, told.get(number))
        else:
            assert told.get(number, frame) == frame, (turn.id, number, frame, told.get(number))
    if turn.background:
        assert numbers == list(range(len(numbers))), (turn.id, numbers)


def check_conversation(items: list[dict[str, Any]], turns: list[Turn]) -> None:
    """Raise AssertionError where a conversation misses an acknowledged turn, or has half of one, or one twice."""
    texts = [(item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"]
    questions = [text for role, text in texts if role == "user"]
    assert len(questions) == len(set(questions)), questions
    for place, (role, _) in enumerate(texts):
        assert role == ("user", "assistant")[place % 2], texts
    for turn in turns:
        if turn.answer is not None and turn.answer["status"] == "completed":
            assert turn.question in questions, (turn, questions)
        elif turn.answer is not None:
            assert turn.question not in questions, (turn, questions)
