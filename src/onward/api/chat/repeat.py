"""A completion that is asked for again under its `Idempotency-Key`: one is made, and a stored one is shown again."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from onward.api.chat.intake import Intake
from onward.api.chat.view import render_again
from onward.api.idempotency import Handler, answer_unstored, check_same, claim_of, conflict
from onward.api.reply import json_reply
from onward.api.services import Project, project_of
from onward.core.turns import TERMINAL, Claim
from onward.ports.idempotency import AlreadyClaimed, Claimed


class _Asked(msgspec.Struct, frozen=True):
    """What of a create call decides how it is answered again."""

    store: bool | None = None
    stream: bool | None = None


_read_asked = msgspec.json.Decoder(_Asked).decode


def repeatable(create: Handler) -> Handler:
    """Return the create handler such that a key makes one completion.

    What is not stored, streamed or still being made cannot be shown again: its repetition is refused.
    """

    async def create_once(request: Request) -> Response:
        claim = await claim_of(request)
        if claim is None:
            return await create(request)
        try:
            asked = _read_asked(request._body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return await create(request)
        project = project_of(request)
        if asked.store is not True:
            return await answer_unstored(request, claim, create)
        found = await project.idempotency.find(claim)
        if found is None:
            request.scope["onward.claim"] = claim
            try:
                return await create(request)
            except AlreadyClaimed:
                found = await project.idempotency.find(claim)
        return await _again(request, project, claim, found, create, streamed=asked.stream is True)

    create_once.__doc__ = create.__doc__
    return create_once


def claimed(request: Request, intake: Intake) -> Intake:
    """Return the turns of a request with what its key claims, so that the key is written with the run."""
    claim: Claim | None = request.scope.get("onward.claim")
    if claim is None:
        return intake
    turns = tuple(msgspec.structs.replace(turn, claim=claim) for turn in intake.turns)
    return msgspec.structs.replace(intake, turns=turns)


async def _again(
    request: Request, project: Project, claim: Claim, found: Claimed | None, create: Handler, *, streamed: bool
) -> Response:
    if found is None:
        raise conflict()
    check_same(claim, found)
    stored = None if found.suffix is None else await project.completions.get(found.suffix)
    if stored is not None and not streamed:
        return json_reply(render_again(stored))
    run = None if found.suffix is None else await project.runs.get(found.suffix)
    if run is None or stored is not None or run.status not in TERMINAL:
        raise conflict()
    # Nothing came of it: a client that tries again wants another try.
    await project.idempotency.free(claim)
    request.scope["onward.claim"] = claim
    return await create(request)
