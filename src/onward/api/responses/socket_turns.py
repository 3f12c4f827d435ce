"""The turns of a WebSocket: as `POST /v1/responses` with a stream, but events go out as messages.

What was not stored can be continued while the connection lasts. Whether somebody still listens is not known here.
"""

import logging
from collections.abc import Sequence
from errno import ENOSPC
from typing import Protocol

import msgspec

from onward.api.body import decode_json
from onward.api.responses.concurrency import in_turn
from onward.api.responses.intake import Intake, read_turn
from onward.api.responses.socket_memory import Memory, Remembered, continuable
from onward.api.responses.socket_wire import Create, Steer, ending_of, error_message, event_message, steer_failed
from onward.api.responses.stream import DONE, ResponseStream
from onward.api.responses.view import Head, head_of_turn
from onward.api.responses.wire import CreateResponse, decode_create
from onward.api.services import Project, Services
from onward.core.clock import now
from onward.core.errors import InternalError, OnwardError, RequestError, StorageFull
from onward.core.events import Event, TurnCompleted, TurnStarted
from onward.core.ids import new_suffix
from onward.core.turns import OnConversation, TurnResult
from onward.core.usage import Usage

log = logging.getLogger("onward.http")


class Tell(Protocol):
    """Sends messages in their order; does nothing where nobody listens any more."""

    async def __call__(self, *messages: bytes) -> None: ...


class SocketTurns:
    """Answers the messages of one connection."""

    def __init__(self, services: Services, project: Project, tell: Tell) -> None:
        self._services = services
        self._project = project
        self._tell = tell
        self._memory = Memory()
        self._last: dict[str | None, str] = {}
        """The last response of each lane, stored or not."""
        self._active: dict[str, str | None] = {}
        """Responses under way, with their lanes."""
        self._steered = 0

    async def answer(self, message: Create) -> None:
        """Run the turn that a message asks for and tell its events; every fault becomes a message."""
        body: CreateResponse | None = None
        try:
            body = decode_json(message.body, decode_create)
            if await self._run(message, body):
                return
            error = None
        except OnwardError as fault:
            error = fault
        except Exception as fault:
            full = isinstance(fault, OSError) and fault.errno == ENOSPC
            if not full:
                log.exception("unhandled error in a turn of a socket")
            error = StorageFull() if full else InternalError()
        if body is not None:
            self._memory.evict(body.previous_response_id)
        self._memory.forget(message.stream_id)
        if error is not None:
            await self._tell(error_message(error, message.stream_id))

    async def refuse_steering(self, steer: Steer) -> None:
        """Give the input of a steering attempt back, with the reason: no model here can be steered."""
        target = steer.previous_response_id
        ended = {last: name for name, last in self._last.items()}
        lane = self._active.get(target, ended.get(target))
        if bytes(steer.input)[:1] not in (b'"', b"["):
            code, why = "invalid_input", "'input' must be a string or an array of messages."
        elif target in self._active:
            code, why = "steering_not_supported", "This server cannot steer a response that is under way."
        elif target in ended:
            code, why = "response_already_completed", "The response has ended. Continue it with a response.create."
        else:
            code, why = "response_not_found", f"Response with id '{target[:100]}' is not of this connection."
        number, self._steered = self._steered, self._steered + 1
        await self._tell(steer_failed(steer, code, why, number, lane))

    async def _run(self, message: Create, body: CreateResponse) -> bool:
        """Run a turn and return whether it can be continued. Raises OnwardError before its first event."""
        if body.background is True:
            raise RequestError(
                "'background' is not supported over a WebSocket: use POST /v1/responses.",
                param="background",
                code="unsupported_value",
            )
        default = body.model or (await self._services.models.resolve(None)).name
        streamed = msgspec.structs.replace(body, stream=True, background=None)
        intake = await read_turn(streamed, self._project.runs, self._project.prompts, default_model=default)
        previous = self._memory.find(body.previous_response_id)
        if previous is not None:
            intake = msgspec.structs.replace(intake, turn=previous.continued(intake.turn))
        if not message.generate:
            await self._warm_up(message, body, intake)
            return True
        ended: list[bool] = []

        async def attempt(placed: Intake) -> None:
            ended.append(await self._generate(message, body, placed))

        await in_turn(self._project.conversations, intake, attempt)
        return ended[-1]

    async def _generate(self, message: Create, body: CreateResponse, intake: Intake) -> bool:
        suffix, created_at = new_suffix(), now()
        turn, lane = intake.turn, message.stream_id
        head = _head(intake, body, suffix, created_at)
        fold = ResponseStream(head, include=intake.include, obfuscate=intake.obfuscate)

        async def emit(events: Sequence[Event]) -> None:
            await self._tell_all(fold, events, lane)

        self._active[head.id] = lane
        try:
            result = await self._services.engine.run(
                self._project, turn, suffix=suffix, created_at=created_at, emit=emit
            )
        finally:
            del self._active[head.id]
        self._last[lane] = head.id
        return self._remember(lane, intake, head.id, result)

    def _remember(self, lane: str | None, intake: Intake, response_id: str, result: TurnResult) -> bool:
        if result.status not in ("completed", "incomplete"):
            return False
        turn = intake.turn
        if turn.store:
            self._memory.forget(lane)
        else:
            items = (*turn.input, *continuable(result.output))
            self._memory.keep(lane, Remembered(response_id, turn.parent, items))
        return True

    async def _warm_up(self, message: Create, body: CreateResponse, intake: Intake) -> None:
        """Check a turn and make its context, ask no model, and remember its input under a response id."""
        if isinstance(intake.turn.parent, OnConversation):
            raise RequestError(
                "'generate' can be false only without a 'conversation': nothing is added to it.",
                param="generate",
                code="invalid_value",
            )
        turn = msgspec.structs.replace(intake.turn, store=False)
        intake = msgspec.structs.replace(intake, turn=turn)
        if turn.input or turn.parent or turn.preamble:
            await self._services.engine.count_input(self._project, turn)
        else:
            await self._services.models.resolve(turn.model)
        lane, ended_at = message.stream_id, now()
        head = _head(intake, body, new_suffix(), ended_at)
        self._memory.keep(lane, Remembered(head.id, turn.parent, turn.input))
        self._last[lane] = head.id
        fold = ResponseStream(head, include=intake.include, obfuscate=intake.obfuscate)
        await self._tell_all(fold, (TurnStarted(), TurnCompleted(Usage(), ended_at)), lane)

    async def _tell_all(self, fold: ResponseStream, events: Sequence[Event], lane: str | None) -> None:
        ending = ending_of(lane)
        messages = [event_message(frame, ending) for frame in fold.each(events) if frame is not DONE]
        if messages:
            await self._tell(*messages)


def _head(intake: Intake, body: CreateResponse, suffix: str, created_at: float) -> Head:
    """Return the head of a response. A stored one names what the store knows: it is shown so again later."""
    head = head_of_turn(intake.turn, response_id=f"resp_{suffix}", created_at=created_at)
    if intake.turn.store:
        return head
    return msgspec.structs.replace(head, previous_response_id=body.previous_response_id)
