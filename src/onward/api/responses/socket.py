"""`/v1/responses` as a WebSocket: one connection, from its acceptance to its end. Meaning lives in the turns.

Messages are always read, so that a client that goes away is noticed; what they may pile up is bounded by the lanes.
"""

import asyncio
from typing import Final

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from onward.api.responses.routes import grace_of
from onward.api.responses.socket_lanes import Lanes, Limits
from onward.api.responses.socket_turns import SocketTurns
from onward.api.responses.socket_wire import ConnectionLimit, Create, error_message, read_message
from onward.api.services import project_of, services_of
from onward.core.errors import OnwardError, RequestError

GOING_AWAY: Final = 1001
RESTARTING: Final = 1012
"""The code of a socket that a server closes because it shuts down."""
STALLED: Final = 1013
FAREWELL_SECONDS: Final = 5.0


class Responses:
    """The endpoint; `limits` are for every connection by itself."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        grace = grace_of(socket)
        await socket.accept()
        connection = _Connection(socket, self._limits)
        async with asyncio.TaskGroup() as tasks:
            turns = SocketTurns(services_of(socket), project_of(socket), connection.tell)
            lanes = Lanes(tasks, turns.answer, self._limits)
            code = await connection.read(lanes, turns)
            await lanes.end(0.0 if code == RESTARTING else grace)


class _Connection:
    """The two ways of one socket."""

    def __init__(self, socket: WebSocket, limits: Limits) -> None:
        self._socket = socket
        self._limits = limits
        self._gone = False
        self._stalled = False
        self._reading = True
        self._lifetime = asyncio.timeout(limits.seconds)

    async def tell(self, *messages: bytes) -> None:
        """Send messages as text. A client that does not take them for too long loses the connection."""
        if self._gone:
            return
        try:
            async with asyncio.timeout(self._limits.stalled_seconds):
                for message in messages:
                    await self._socket.send({"type": "websocket.send", "text": message.decode()})
        except (WebSocketDisconnect, RuntimeError):
            self._gone = True
        except TimeoutError:
            self._stalled = self._gone = True
            if self._reading:
                self._lifetime.reschedule(asyncio.get_running_loop().time())

    async def read(self, lanes: Lanes, turns: SocketTurns) -> int:
        """Take messages until the connection ends; return the code that it was closed with."""
        try:
            async with self._lifetime:
                while True:
                    message = await self._socket.receive()
                    if message["type"] == "websocket.disconnect":
                        return int(message.get("code") or GOING_AWAY)
                    await self._take(message, lanes, turns)
                    await asyncio.sleep(0)  # messages that came together must not keep other connections waiting
        except TimeoutError:
            self._reading = False
            return await self._part()
        finally:
            self._reading = False
            self._gone = True

    async def _take(self, message: Message, lanes: Lanes, turns: SocketTurns) -> None:
        stream_id: str | None = None
        try:
            text = message.get("text")
            if text is None:
                raise RequestError("Messages must be text: JSON in UTF-8, not binary.", code="invalid_message")
            said = read_message(text.encode())
            if isinstance(said, Create):
                stream_id = said.stream_id
                lanes.put(said)
            else:
                await turns.refuse_steering(said)
        except OnwardError as error:
            await self.tell(error_message(error, stream_id))

    async def _part(self) -> int:
        """Close the socket from this side, with the reason where the client takes messages."""
        code = STALLED if self._stalled else GOING_AWAY
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.tell(error_message(ConnectionLimit(), None))
                await self._socket.close(code)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass
        return code


routes: list[BaseRoute] = [WebSocketRoute("/v1/responses", Responses())]
