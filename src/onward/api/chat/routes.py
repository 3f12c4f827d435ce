"""`POST /v1/chat/completions`: turns are run and their answers written. HTTP only; meaning lives in intake and view."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.chat.intake import Intake, read_turns
from onward.api.chat.repeat import claimed, repeatable
from onward.api.chat.stream import CompletionStream
from onward.api.chat.view import Head, completion_id, render_choice, render_completion, total_usage
from onward.api.chat.wire import decode_create
from onward.api.idempotency import conflict
from onward.api.reply import json_reply
from onward.api.services import Project, project_of, services_of
from onward.api.sse import EventStream, Write, run_attached
from onward.core.clock import now
from onward.core.errors import OnwardError, UpstreamError
from onward.core.events import Event
from onward.core.ids import new_suffix
from onward.core.turns import TurnResult
from onward.engine.engine import Engine
from onward.ports.idempotency import AlreadyClaimed


@repeatable
async def create(request: Request) -> Response:
    """`POST /v1/chat/completions`."""
    body = await read_json(request, decode_create)
    services = services_of(request)
    default = body.model or (await services.models.resolve(None)).name
    intake = claimed(request, read_turns(body, default_model=default))
    # What nobody can read later need not go on when its reader has left.
    grace = services.disconnect_grace if body.store is True else 0.0
    if body.stream is True:
        return EventStream(_streamed(services.engine, project_of(request), intake), grace=grace)
    return await _answered(request, services.engine, project_of(request), intake, grace)


def _head(intake: Intake, suffix: str, created_at: float) -> Head:
    model = intake.turns[0].model
    return Head(id=completion_id(suffix), created_at=created_at, model=model, legacy=intake.legacy)


def _streamed(engine: Engine, project: Project, intake: Intake) -> Callable[[Write], Awaitable[None]]:
    suffix, created_at = new_suffix(), now()
    fold = CompletionStream(
        _head(intake, suffix, created_at),
        choices=len(intake.turns),
        include_usage=intake.include_usage,
        obfuscate=intake.obfuscate,
    )

    async def produce(write: Write) -> None:
        writing = asyncio.Lock()

        async def play(index: int, name: str) -> None:
            async def emit(events: Sequence[Event]) -> None:
                async with writing:
                    if frames := fold.frames(index, events):
                        await write(frames)

            await engine.run(project, intake.turns[index], suffix=name, created_at=created_at, emit=emit)
            if fold.broken and len(intake.turns) > 1:
                raise UpstreamError  # the stream has told why; what the other choices would say reaches nobody

        try:
            await _together([play(index, name) for index, name in _names(intake, suffix)])
        except AlreadyClaimed as error:
            raise conflict() from error
        except OnwardError as error:
            # A choice may fail before its first event when another has begun to be written.
            if not fold.begun:
                raise _named_here(error) from error
            if frames := fold.fault(_named_here(error)):
                await write(frames)

    return produce


async def _ignore(_events: Sequence[Event]) -> None:
    return None


async def _answered(
    request: Request, engine: Engine, project: Project, intake: Intake, grace: float | None
) -> Response:
    suffix, created_at = new_suffix(), now()
    head = _head(intake, suffix, created_at)
    results: dict[int, TurnResult] = {}

    async def play(index: int, name: str) -> None:
        turn = intake.turns[index]
        results[index] = await engine.run(project, turn, suffix=name, created_at=created_at, emit=_ignore)

    async def work() -> None:
        try:
            await _together([play(index, name) for index, name in _names(intake, suffix)])
        except OnwardError as error:
            raise _named_here(error) from error

    if await run_attached(work(), request.receive, grace=grace):
        return Response(status_code=499)
    made = [results[index] for index in range(len(intake.turns))]
    choices = [
        render_choice(head, index, one.output, status=one.status, incomplete_reason=one.incomplete_reason)
        for index, one in enumerate(made)
    ]
    usage = total_usage([one.usage for one in made])
    return json_reply(render_completion(head, choices, usage, metadata=intake.turns[0].metadata))


def _names(intake: Intake, suffix: str) -> list[tuple[int, str]]:
    """Return each choice with the suffix of its run; the first is the completion's own."""
    return [(index, suffix if index == 0 else new_suffix()) for index in range(len(intake.turns))]


async def _together(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Run all of `works` to their ends. The first error ends the others and is raised as it is."""
    if len(works) == 1:
        await works[0]
        return
    failed: list[OnwardError] = []

    async def run(work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except OnwardError as error:
            failed.append(error)
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(run(work))
    except* OnwardError:
        pass
    if failed:
        raise failed[0]


def _named_here(error: OnwardError) -> OnwardError:
    """Return an error of the engine with the parameter as this dialect calls it."""
    if error.param == "input":
        error.param = "messages"
    return error


routes: list[BaseRoute] = [Route("/v1/chat/completions", create, methods=["POST"])]
