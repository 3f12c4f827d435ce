"""`POST /v1/responses/input_tokens`: what a create call with the same body would send, counted and not run."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onward.api.body import read_json
from onward.api.reply import json_reply
from onward.api.responses.intake import read_turn
from onward.api.responses.wire import decode_create
from onward.api.services import project_of, services_of


async def count(request: Request) -> Response:
    """`POST /v1/responses/input_tokens`: the estimate that context budgets use; refuses what a create call refuses."""
    body = await read_json(request, decode_create)
    services = services_of(request)
    project = project_of(request)
    default = body.model or (await services.models.resolve(None)).name
    intake = await read_turn(body, project.runs, project.prompts, default_model=default)
    tokens = await services.engine.count_input(project, intake.turn)
    return json_reply({"object": "response.input_tokens", "input_tokens": tokens})


routes: list[BaseRoute] = [Route("/v1/responses/input_tokens", count, methods=["POST"])]
