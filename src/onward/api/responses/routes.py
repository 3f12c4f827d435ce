"""`/v1/responses`: create, retrieve, delete, input items. HTTP only; meaning lives in intake, view and stream."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api import query
from onward.api.body import read_json
from onward.api.idempotency import conflict
from onward.api.reply import json_reply, list_body
from onward.api.responses.background import shown, start_in_background, stream_again
from onward.api.responses.concurrency import in_turn
from onward.api.responses.intake import Intake, check_include, read_turn
from onward.api.responses.items import item_views
from onward.api.responses.repeat import claimed, repeatable
from onward.api.responses.stream import ResponseStream
from onward.api.responses.view import Outcome, head_of_turn, render_response
from onward.api.responses.wire import decode_create
from onward.api.services import Project, project_of, services_of
from onward.api.sse import EventStream, Write, run_attached
from onward.core.clock import now
from onward.core.errors import NotFoundError, RequestError
from onward.core.events import Event
from onward.core.ids import new_suffix, suffix_of
from onward.core.turns import TERMINAL
from onward.engine.engine import Engine
from onward.ports.idempotency import AlreadyClaimed
from onward.ports.runs import Run


async def create(request: Request) -> Response:
    """`POST /v1/responses`."""
    body = await read_json(request, decode_create)
    services = services_of(request)
    project = project_of(request)
    default = body.model or (await services.models.resolve(None)).name
    intake = claimed(request, await read_turn(body, project.runs, project.prompts, default_model=default))
    grace = grace_of(request)
    if intake.turn.background:
        return await _begun(request, services.engine, project, intake)
    if intake.turn.stream:
        return EventStream(_streamed(services.engine, project, intake), grace=grace)
    return await _answered(request, services.engine, project, intake, grace)


def grace_of(request: HTTPConnection) -> float | None:
    """Return the seconds that a turn goes on without its client; None where it runs to its end. Raises RequestError."""
    wish = request.headers.get("onward-on-disconnect")
    if wish is None:
        return services_of(request).disconnect_grace
    if wish not in ("continue", "cancel"):
        raise RequestError(
            "Invalid value for the header 'Onward-On-Disconnect'. Supported values are: 'continue' and 'cancel'."
        )
    return None if wish == "continue" else 0.0


def _streamed(engine: Engine, project: Project, intake: Intake) -> Callable[[Write], Awaitable[None]]:
    async def produce(write: Write) -> None:
        async def tell(placed: Intake) -> None:
            suffix, created_at = new_suffix(), now()
            head = head_of_turn(placed.turn, response_id=f"resp_{suffix}", created_at=created_at)
            fold = ResponseStream(head, include=placed.include, obfuscate=placed.obfuscate)

            async def emit(events: Sequence[Event]) -> None:
                if frames := fold.frames(events):
                    await write(frames)

            await engine.run(project, placed.turn, suffix=suffix, created_at=created_at, emit=emit)

        try:
            await in_turn(project.conversations, intake, tell)
        except AlreadyClaimed as lost:  # another request with its idempotency key began a moment earlier
            raise conflict() from lost

    return produce


async def _begun(request: Request, engine: Engine, project: Project, intake: Intake) -> Response:
    """Begin a background run; where it waits in line for its conversation, only while its client is there."""
    begun: list[Response] = []

    async def work() -> None:
        begun.append(
            await in_turn(project.conversations, intake, lambda one: start_in_background(engine, project, one))
        )

    if intake.concurrency == "queue":
        await run_attached(work(), request.receive, grace=0.0)
    else:
        await work()
    return begun[0] if begun else Response(status_code=499)


async def _ignore(_events: Sequence[Event]) -> None:
    return None


async def _answered(
    request: Request, engine: Engine, project: Project, intake: Intake, grace: float | None
) -> Response:
    answers: list[bytes] = []

    async def answer(placed: Intake) -> None:
        suffix, created_at = new_suffix(), now()
        head = head_of_turn(placed.turn, response_id=f"resp_{suffix}", created_at=created_at)
        result = await engine.run(project, placed.turn, suffix=suffix, created_at=created_at, emit=_ignore)
        outcome = Outcome(
            status=result.status,
            output=result.output,
            usage=result.usage,
            error=result.error,
            incomplete_reason=result.incomplete_reason,
            completed_at=result.ended_at if result.status == "completed" else None,
        )
        answers.append(render_response(head, outcome, placed.include))

    await run_attached(in_turn(project.conversations, intake, answer), request.receive, grace=grace)
    return json_reply(answers[0]) if answers else Response(status_code=499)


async def _stored(request: Request) -> Run:
    response_id = request.path_params["response_id"]
    run = await project_of(request).runs.get(suffix_of(response_id)) if response_id.startswith("resp_") else None
    if run is None or run.dialect == "chat":
        raise NotFoundError(f"Response with id '{response_id}' not found.")
    return run


async def retrieve(request: Request) -> Response:
    """`GET /v1/responses/{response_id}`: the response as it stands, or with `stream` its stream from any event on."""
    params = request.query_params
    include = check_include(query.array(params, "include"))
    after = query.integer(params, "starting_after", -1, low=-1, high=2**53)
    run = await _stored(request)
    if not query.flag(params, "stream"):
        return await shown(project_of(request), run, include)
    obfuscate = query.flag(params, "include_obfuscation", default=True)
    return stream_again(services_of(request).engine, project_of(request), run, include, obfuscate, after)


async def delete(request: Request) -> Response:
    """`DELETE /v1/responses/{response_id}`: the handle goes, descendants keep their context."""
    run = await _stored(request)
    project = project_of(request)
    if run.status not in TERMINAL:
        await services_of(request).engine.cancel(project, run)
    await project.runs.delete(run.suffix)
    return json_reply({"id": f"resp_{run.suffix}", "object": "response", "deleted": True})


async def cancel(request: Request) -> Response:
    """`POST /v1/responses/{response_id}/cancel`: repeating it changes nothing; a synchronous one that ended is refused.

    That a synchronous response under way can be cancelled, by another connection, is an extension.
    """
    run = await _stored(request)
    if run.status not in TERMINAL:
        await services_of(request).engine.cancel(project_of(request), run)
        run = await _stored(request)
    elif not run.background:
        raise RequestError("Cannot cancel a synchronous response.")
    return await shown(project_of(request), run, frozenset())


async def input_items(request: Request) -> Response:
    """`GET /v1/responses/{response_id}/input_items`: everything the response was given, its context first."""
    include = check_include(query.array(request.query_params, "include"))
    page = query.page(request.query_params)
    run = await _stored(request)
    found = await project_of(request).runs.input_page(run, page)
    views = item_views(found.items, include)
    return json_reply(list_body(views, [item.id for item in found.items], has_more=found.has_more))


routes: list[BaseRoute] = [
    Route("/v1/responses", repeatable(create), methods=["POST"]),
    Route("/v1/responses/{response_id}", retrieve, methods=["GET"]),
    Route("/v1/responses/{response_id}", delete, methods=["DELETE"]),
    Route("/v1/responses/{response_id}/cancel", cancel, methods=["POST"]),
    Route("/v1/responses/{response_id}/input_items", input_items, methods=["GET"]),
]
