"""`concurrency` of a create call on a conversation that is busy: refuse, wait in line, or run on a fork. An extension.

Only what comes before a turn's first event is tried again; nothing was stored or sent by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from onward.api.responses.intake import Intake
from onward.core.errors import ConversationLocked, OnwardError
from onward.core.turns import OnConversation
from onward.ports.conversations import Conversations

MAX_WAIT_SECONDS: Final = 120.0
"""Who waited so long is refused as without a queue."""
MAX_WAITING: Final = 32
"""Requests that wait for one conversation."""
POLL_SECONDS: Final = 0.05
PLACE_SECONDS: Final = 15.0
"""A place in line is void so long after the process that waits for it stopped."""
RENEW_SECONDS: Final = 5.0

T = TypeVar("T")
Attempt = Callable[[Intake], Awaitable[T]]


async def in_turn(conversations: Conversations, intake: Intake, attempt: Attempt[T]) -> T:
    """Make an attempt at a turn when its conversation, or a fork of it, is free for it.

    Raises what the attempt raises; ConversationLocked after MAX_WAIT_SECONDS, RateLimitError for a line that is full.
    """
    parent = intake.turn.parent
    if not isinstance(parent, OnConversation) or intake.concurrency == "reject":
        return await attempt(intake)
    if intake.concurrency == "fork":
        return await _on_fork(conversations, intake, parent, attempt)
    return await _in_line(conversations, intake, parent, attempt)


async def _on_fork(conversations: Conversations, intake: Intake, parent: OnConversation, attempt: Attempt[T]) -> T:
    try:
        return await attempt(intake)
    except ConversationLocked:
        fork = await conversations.fork(parent.conversation_id)
    name = f"conv_{fork.suffix}"
    turn = msgspec.structs.replace(intake.turn, parent=OnConversation(name))
    try:
        return await attempt(msgspec.structs.replace(intake, turn=turn))
    except OnwardError:
        # Nobody has learned of the fork: the error does not name it.
        await conversations.delete(name)
        raise


async def _in_line(conversations: Conversations, intake: Intake, parent: OnConversation, attempt: Attempt[T]) -> T:
    suffix, ticket = await conversations.enter_line(parent.conversation_id, limit=MAX_WAITING, seconds=PLACE_SECONDS)
    try:
        deadline = asyncio.get_running_loop().time() + MAX_WAIT_SECONDS
        while True:
            await _wait(conversations, suffix, ticket, deadline)
            try:
                return await attempt(intake)
            except ConversationLocked:
                continue  # somebody who does not wait in line was faster
    finally:
        await asyncio.shield(conversations.leave_line(suffix, ticket))


async def _wait(conversations: Conversations, suffix: str, ticket: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    renewed = loop.time()
    while not await conversations.is_next(suffix, ticket):
        if loop.time() >= deadline:
            raise ConversationLocked
        await asyncio.sleep(POLL_SECONDS)
        if loop.time() - renewed >= RENEW_SECONDS:
            renewed = loop.time()
            await conversations.renew_place(suffix, ticket, seconds=PLACE_SECONDS)
