"""Responses whose run does not hang on a connection: begun in the background, and streams told again."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response

from onward.api.reply import json_reply
from onward.api.responses.intake import Intake
from onward.api.responses.items import Include
from onward.api.responses.stream import ResponseStream
from onward.api.responses.view import Outcome, head_of_run, head_of_turn, render_response
from onward.api.services import Project
from onward.api.sse import EventStream, Write
from onward.core.clock import now
from onward.core.errors import RequestError
from onward.core.ids import new_suffix
from onward.core.turns import TERMINAL
from onward.engine.engine import Engine
from onward.engine.replay import replay
from onward.ports.runs import Run

POLL_HEADERS: Final = {"openai-poll-after-ms": "500"}
"""When to ask again for a response that goes on."""


async def start_in_background(engine: Engine, project: Project, intake: Intake) -> Response:
    """Begin a background run; answer with its queued response, or with its stream, which may be left at any time."""
    suffix, created_at = new_suffix(), now()
    head = head_of_turn(intake.turn, response_id=f"resp_{suffix}", created_at=created_at)
    await engine.start(project, intake.turn, suffix=suffix, created_at=created_at)
    if not intake.turn.stream:
        body = render_response(head, Outcome(status="queued"), intake.include)
        return json_reply(body, headers=POLL_HEADERS)
    fold = ResponseStream(head, include=intake.include, obfuscate=intake.obfuscate)
    return EventStream(_told(engine, project, suffix, fold))


async def shown(project: Project, run: Run, include: Include) -> Response:
    """Answer with a stored response as it stands."""
    outcome = Outcome(
        status=run.status,
        output=await project.runs.output(run),
        usage=run.usage if run.completed_at is not None else None,
        error=run.error,
        incomplete_reason=run.incomplete_reason,
        completed_at=run.completed_at if run.status == "completed" else None,
    )
    headers = None if run.status in TERMINAL else POLL_HEADERS
    return json_reply(render_response(head_of_run(run), outcome, include), headers=headers)


def stream_again(engine: Engine, project: Project, run: Run, include: Include, obfuscate: bool, after: int) -> Response:
    """Answer with the stream of a stored run, from the event after number `after` on. Raises RequestError."""
    if not run.stream:
        raise RequestError(
            "This response cannot be streamed because it was not created with 'stream' set to true.",
            param="stream",
            code="invalid_value",
        )
    fold = ResponseStream(head_of_run(run), include=include, obfuscate=obfuscate, after=after)
    return EventStream(_told(engine, project, run.suffix, fold))


def _told(engine: Engine, project: Project, suffix: str, fold: ResponseStream) -> Callable[[Write], Awaitable[None]]:
    async def produce(write: Write) -> None:
        await write(b"")  # the headers: the next event may be long in coming
        async for events in replay(engine.live, project, suffix):
            if frames := fold.frames(events):
                await write(frames)

    return produce
