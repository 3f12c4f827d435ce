"""One server after another on the same data: work, die, start again, and see that everything acknowledged holds."""

import asyncio
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
from servers import PYTHON, clean_environment, free_port

from torture.journal import Journal, Turn, check_conversation, check_stream, check_turn
from torture.work import ANSWER, Client

WORKERS = 6
PATIENCE = 30.0
DYING = Path(__file__).with_name("dying_server.py")


class Torture:
    """Kills, and what they showed."""

    def __init__(self, data: Path, upstream: str, seed: int) -> None:
        self.data = data
        self.upstream = upstream
        self.rng = random.Random(seed)
        self.journal = Journal()
        self.kills: dict[str, int] = {}
        self.checked = 0

    async def run(self, kills: int) -> None:
        """Kill and check so often. Raises AssertionError with the first thing that does not hold."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
            for _ in range(kills):
                await self._live_and_die(session)
            await self._check_in_a_last_life(session)

    async def _live_and_die(self, session: aiohttp.ClientSession) -> None:
        point = self._point()
        process, url = await self._start(point)
        try:
            client = Client(url, session, self.journal, self.rng)
            await self._check(client)
            workers = [asyncio.create_task(client.work()) for _ in range(WORKERS)]
            deadline = time.monotonic() + (self.rng.uniform(0.02, 0.6) if point is None else 3.0)
            while time.monotonic() < deadline and process.poll() is None:  # noqa: ASYNC110 - it dies by itself
                await asyncio.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*workers)
        finally:
            process.kill()
            process.wait()
        name = "at random" if point is None else ":".join(point.split(":")[:2])
        self.kills[name] = self.kills.get(name, 0) + 1

    def _point(self) -> str | None:
        if self.rng.random() < 0.4:
            return None
        where, when = self.rng.choice(["state", "events"]), self.rng.choice(["before", "after"])
        return f"{where}:{when}:{self.rng.randint(1, 120)}"

    async def _start(self, point: str | None) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        serve = ["serve", "--port", str(port), "--data", str(self.data)]
        command = [PYTHON, "-m", "onward", *serve] if point is None else [PYTHON, str(DYING), point, *serve]
        environment = {"OPENAI_BASE_URL": self.upstream, "ONWARD_LOG_LEVEL": "warning"}
        process = subprocess.Popen(command, env=clean_environment(environment))  # noqa: ASYNC220
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process, f"http://127.0.0.1:{port}/v1"
            assert time.monotonic() < deadline, "a server did not start"
            await asyncio.sleep(0.01)
        # It died of its fault while it started, which is a death like any other.
        return await self._start(None)

    async def _check_in_a_last_life(self, session: aiohttp.ClientSession) -> None:
        process, url = await self._start(None)
        try:
            await self._check(Client(url, session, self.journal, self.rng), whole=True)
        finally:
            process.kill()
            process.wait()

    async def _check(self, client: Client, *, whole: bool = False) -> None:
        """Check what was acknowledged, as far as this life lasts; a life that ends early leaves it to the next."""
        turns = list(self.journal.turns.values()) if whole else self.journal.open_turns()
        try:
            await asyncio.gather(*(self._check_turn(client, turn) for turn in turns))
            for conversation in self.journal.conversations[-3:]:
                await self._check_conversation(client, conversation)
        except (aiohttp.ClientError, ConnectionError):
            assert not whole, "the last life ended"

    async def _check_turn(self, client: Client, turn: Turn) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            status, stored = await client.get(f"/responses/{turn.id}")
            assert status == 200, (turn, stored)
            if stored["status"] not in ("queued", "in_progress"):
                break
            assert time.monotonic() < deadline, (turn, "never ended", stored["status"])
            await asyncio.sleep(0.05)
        check_turn(turn, stored, ANSWER)
        if turn.stream:
            async with client.session.get(f"{client.base_url}/responses/{turn.id}?stream=true") as answer:
                assert answer.status == 200, (turn, await answer.text())
                frames = (await answer.read()).split(b"\n\n")[:-1]
            check_stream(turn, [frame for frame in frames if not frame.startswith(b":")])
        turn.verified = True
        self.checked += 1

    async def _check_conversation(self, client: Client, conversation: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            status, _ = await client.post(
                "/responses",
                {"model": "m", "input": f"again {self.rng.getrandbits(64):x}", "conversation": conversation},
            )
            if status == 200:
                break
            assert time.monotonic() < deadline, "a conversation stays locked"
            await asyncio.sleep(0.05)
        status, page = await client.get(f"/conversations/{conversation}/items?limit=100&order=desc")
        assert status == 200, page
        items = page["data"][::-1]
        if len(items) % 2:
            items = items[1:]
        turns = [turn for turn in self.journal.turns.values() if turn.conversation == conversation]
        shown = {item["content"][0]["text"] for item in items}
        known = turns if not page["has_more"] else [turn for turn in turns if turn.question in shown]
        check_conversation(items, known)
