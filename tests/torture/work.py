"""The load while a server lives: turns of every kind, with what was acknowledged noted the moment it comes."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from torture.journal import Journal, Turn, parse

ANSWER = "".join(f"word{number} " for number in range(12)).strip()
RULES: list[dict[str, Any]] = [
    {"reply": {"text": [f"word{number} " for number in range(11)] + ["word11"], "delay": 0.004}},
]


class Client:
    """Raw HTTP against one life of the server."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession, journal: Journal, rng: random.Random) -> None:
        self.base_url = base_url
        self.session = session
        self.journal = journal
        self.rng = rng
        self.count = 0

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of a POST."""
        async with self.session.post(self.base_url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of a GET."""
        async with self.session.get(self.base_url + path) as answer:
            return answer.status, await answer.json()

    async def stream(self, turn: Turn | None, answer: aiohttp.ClientResponse, told: Callable[[bytes], Turn]) -> None:
        """Note the frames of a stream as they come."""
        rest = b""
        async for chunk in answer.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n\n")
            for frame in whole:
                if frame.startswith(b"event: "):
                    data = parse(frame)
                    turn = turn or told(frame)
                    turn.frames[data["sequence_number"]] = frame
                    if data["type"] in ("response.completed", "response.failed", "response.incomplete"):
                        turn.answer = data["response"]

    async def turn(self, *, background: bool, stream: bool, **fields: Any) -> None:
        """Run one turn and note what comes of it."""
        self.count += 1
        question = f"question {self.rng.getrandbits(64):x}"
        conversation = fields.get("conversation")
        body = {"model": "m", "input": question, "background": background, "stream": stream, **fields}

        def noted(response: dict[str, Any]) -> Turn:
            turn = Turn(response["id"], question, background, stream, conversation)
            self.journal.turns[turn.id] = turn
            return turn

        if not stream:
            status, answer = await self.post("/responses", body)
            if status == 400 and answer["error"]["code"] == "conversation_locked":
                return
            assert status == 200, answer
            turn = noted(answer)
            turn.answer = None if background else answer
            return
        async with self.session.post(self.base_url + "/responses", json=body) as answer:
            if answer.status == 400 and (await answer.json())["error"]["code"] == "conversation_locked":
                return
            assert answer.status == 200, await answer.text()
            await self.stream(None, answer, lambda frame: noted(parse(frame)["response"]))

    async def converse(self) -> None:
        """Run a turn on a conversation, sometimes a new one."""
        conversations = self.journal.conversations
        if len(conversations) < 3 or self.rng.random() < 0.02:
            status, made = await self.post("/conversations", {})
            assert status == 200, made
            conversations.append(made["id"])
        mode = self.rng.choice([(False, False), (False, True), (True, False), (True, True)])
        await self.turn(background=mode[0], stream=mode[1], conversation=self.rng.choice(conversations[-3:]))

    async def chain(self) -> None:
        """Run a turn after one that was acknowledged."""
        ended = [turn for turn in self.journal.turns.values() if turn.answer and turn.answer["status"] == "completed"]
        mode = self.rng.choice([(False, False), (False, True), (True, True)])
        previous = {"previous_response_id": self.rng.choice(ended[-20:]).id} if ended else {}
        await self.turn(background=mode[0], stream=mode[1], **previous)

    async def work(self) -> None:
        """Run turns until the server is gone."""
        kinds: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.converse,
            self.chain,
            lambda: self.turn(background=True, stream=True),
            lambda: self.turn(background=True, stream=False),
            lambda: self.turn(background=False, stream=True),
        ]
        while True:
            try:
                await self.rng.choice(kinds)()
            except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError):
                return
