"""The token budget of a turn: what input and output of all its model calls may add up to.

Input is estimated before it is sent, so that a call which cannot fit is not made; what calls really used counts from
then on.
"""

from typing import Final, Literal

import msgspec

from onward.core.errors import RequestError
from onward.core.turns import Sampling

MIN_OUTPUT: Final = 16
"""With less room for an answer a model is not asked; upstreams refuse smaller limits."""

Limit = Literal["max_output_tokens", "token_budget"]
"""What ends an answer that is cut short, as `incomplete_details.reason` names it."""


def check_budget(budget: int | None, *, asked: int) -> None:
    """Raise RequestError where the estimated input leaves no room for an answer."""
    if budget is not None and not _room(budget, used=0, asked=asked):
        raise RequestError(
            f"The input needs an estimated {asked} tokens, which leaves no room for an answer within a 'token_budget' "
            f"of {budget}.",
            param="token_budget",
            code="token_budget_exceeded",
        )


def limit_output(sampling: Sampling, budget: int | None, *, used: int, asked: int) -> tuple[Sampling, Limit]:
    """Return how a call samples within the budget, and which limit is the tighter one.

    `used`: tokens of earlier calls of the turn; `asked`: estimated input of this one. No room is a limit of 0.
    """
    if budget is None:
        return sampling, "max_output_tokens"
    room = _room(budget, used=used, asked=asked)
    if sampling.max_output_tokens is not None and sampling.max_output_tokens <= room:
        return sampling, "max_output_tokens"
    return msgspec.structs.replace(sampling, max_output_tokens=room), "token_budget"


def _room(budget: int, *, used: int, asked: int) -> int:
    room = budget - used - asked
    return room if room >= MIN_OUTPUT else 0
