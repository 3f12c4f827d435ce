"""A create call that is sent again under its `Idempotency-Key`: attached to the run of the first one."""

import asyncio
from functools import wraps
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from onward.api.idempotency import Handler, answer_unstored, check_same, claim_of, conflict
from onward.api.responses.background import shown, stream_again
from onward.api.responses.intake import Intake
from onward.api.responses.wire import StreamOptions
from onward.api.services import Project, project_of, services_of
from onward.api.sse import run_attached
from onward.core.turns import TERMINAL, Claim
from onward.engine.engine import Engine
from onward.ports.idempotency import AlreadyClaimed, Claimed
from onward.ports.runs import Run

POLL_SECONDS: Final = 0.05


class _Asked(msgspec.Struct, frozen=True):
    """What of a create call decides how it is answered again."""

    store: bool | None = None
    stream: bool | None = None
    include: list[str] | None = None
    stream_options: StreamOptions | None = None


_read_asked = msgspec.json.Decoder(_Asked).decode


def repeatable(create: Handler) -> Handler:
    """Return the create handler such that a key begins one run.

    Without `store` there is no run to attach to: a repetition is refused. A foreground run that failed frees its key,
    because a client that tries again wants another try.
    """

    @wraps(create)
    async def create_once(request: Request) -> Response:
        claim = await claim_of(request)
        if claim is None:
            return await create(request)
        project = project_of(request)
        try:
            asked = _read_asked(request._body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return await create(request)
        if asked.store is False:
            return await answer_unstored(request, claim, create)
        found = await project.idempotency.find(claim)
        if found is None:
            request.scope["onward.claim"] = claim
            try:
                return await create(request)
            except AlreadyClaimed:
                found = await project.idempotency.find(claim)
        return await _attach(request, project, claim, found, asked, create)

    create_once.__doc__ = create.__doc__
    return create_once


def claimed(request: Request, intake: Intake) -> Intake:
    """Return the turn of a request with what its key claims, so that the key is written with the run."""
    claim: Claim | None = request.scope.get("onward.claim")
    if claim is None:
        return intake
    return msgspec.structs.replace(intake, turn=msgspec.structs.replace(intake.turn, claim=claim))


async def _attach(
    request: Request, project: Project, claim: Claim, found: Claimed | None, asked: _Asked, create: Handler
) -> Response:
    if found is None:
        raise conflict()
    check_same(claim, found)
    if found.suffix is None:
        raise conflict()
    run = await project.runs.get(found.suffix)
    if run is None:
        raise conflict()
    if run.status == "failed" and not run.background:
        await project.idempotency.free(claim)
        request.scope["onward.claim"] = claim
        return await create(request)
    engine = services_of(request).engine
    include = frozenset(asked.include or ())
    if run.stream:
        obfuscate = asked.stream_options is None or asked.stream_options.include_obfuscation is not False
        return stream_again(engine, project, run, include, obfuscate, -1)
    if not run.background:
        ended: list[Run] = []
        await run_attached(_wait(project, engine, run, ended), request.receive, grace=0.0)
        if not ended:
            return Response(status_code=499)
        run = ended[0]
    return await shown(project, run, include)


async def _wait(project: Project, engine: Engine, run: Run, ended: list[Run]) -> None:
    live = engine.live.get(project.key, run.suffix)
    if live is not None:
        await live.ended()
    while (found := await project.runs.get(run.suffix)) is not None:
        if found.status in TERMINAL:
            ended.append(found)
            return
        await asyncio.sleep(POLL_SECONDS)
    raise conflict()
