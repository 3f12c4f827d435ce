"""What a turn needs before its first model call: what it continues, its tools, and the context that the model reads.

Shared by turns that run and by requests that only ask what a turn would send, so that the two never differ.
"""

from collections.abc import Sequence

from msgspec import Struct

from onward.core.errors import RequestError
from onward.core.items import CALL_TYPES, Item
from onward.core.lineage import EMPTY_HASH, extend_hash
from onward.core.tokens import estimate_tokens
from onward.core.turns import TurnRequest
from onward.engine.assembly import Assembly, assemble
from onward.engine.budget import check_budget
from onward.engine.context import ContextCache
from onward.engine.dispatch import Dispatch
from onward.engine.pairs import check_duplicates, check_pairs, duplicate
from onward.engine.project import TurnProject
from onward.engine.servers import Recalled, recall
from onward.ports.model import Model
from onward.ports.runs import Base


class Prepared(Struct, frozen=True):
    """A turn that is ready to begin. `supplied` is what of its input is not in the history already."""

    base: Base
    supplied: Sequence[Item]
    dispatch: Dispatch
    recalled: Recalled
    assembly: Assembly


async def prepare(
    project: TurnProject, request: TurnRequest, model: Model, cache: ContextCache, *, base: Base | None = None
) -> Prepared:
    """Check a request against what it continues and choose its context; nothing is stored and no model is asked.

    `base` is known where the run exists already. Raises RequestError and its kin for everything that is wrong with the
    request.
    """
    if base is None:
        base = await _base(project, request)
    dispatch = Dispatch(request, project.toolset)
    await dispatch.check()
    supplied = request.input[base.matched :]
    if not supplied and not base.lineage and not request.preamble:
        raise RequestError("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    check_duplicates(supplied)
    check_pairs(base.open_calls, supplied)
    await _check_fresh(project, request, base, supplied)
    recalled = await recall(project.runs, request, dispatch, base, supplied)
    tool_tokens = dispatch.tokens(model.capabilities)
    assembly = await assemble(project, model, request, base, recalled.readable, cache, tool_tokens=tool_tokens)
    check_budget(request.token_budget, asked=input_tokens(request, assembly))
    return Prepared(base, supplied, dispatch, recalled, assembly)


def input_tokens(request: TurnRequest, assembly: Assembly) -> int:
    """Return the estimated tokens that the first model call of a turn sends."""
    schema = request.format.schema
    return assembly.tokens + (estimate_tokens(bytes(schema)) if schema is not None else 0)


async def _base(project: TurnProject, request: TurnRequest) -> Base:
    if request.parent is not None:
        return await project.runs.base(request.parent)
    if not request.store or len(request.input) < 2 or not any(_is_answer(item) for item in request.input):
        return Base()
    hashes: list[bytes] = []
    running = EMPTY_HASH
    for item in request.input[:-1]:
        running = extend_hash(running, item)
        hashes.append(running)
    return await project.runs.base(None, input_hashes=hashes)


def _is_answer(item: Item) -> bool:
    return item.role == "assistant" or item.type in CALL_TYPES


async def _check_fresh(project: TurnProject, request: TurnRequest, base: Base, supplied: Sequence[Item]) -> None:
    named = [item.id for item in supplied if item.id in request.named_ids] if base.lineage else []
    if named:
        found = await project.runs.contains(base.lineage, named)
        if found is not None:
            raise duplicate(found)
