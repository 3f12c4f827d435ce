"""The events of a streamed run, from its first: told again where it has ended, then live where it goes on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from onward.core.events import (
    Event,
    NumbersSkipped,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
)
from onward.core.recording import TERMINAL_EVENTS, RecordingBroken, unpack_events
from onward.core.turns import TERMINAL, RunError
from onward.engine.live import LiveRuns
from onward.engine.project import TurnProject
from onward.engine.telling import FRAMES_AHEAD
from onward.ports.runs import Run

POLL_SECONDS: Final = 0.05
"""How often a run that another process has under way is looked at."""
PORTION: Final = 512
"""Events told at once, so that a long stream does not hold the event loop."""


async def replay(lives: LiveRuns, project: TurnProject, suffix: str) -> AsyncGenerator[Sequence[Event]]:
    """Yield the events of a run in portions, until it has ended or was deleted."""
    seen = 0
    live = lives.get(project.key, suffix)
    if live is not None:
        async for batch in live.follow():
            seen += len(batch)
            for start in range(0, len(batch), PORTION):
                yield batch[start : start + PORTION]
            if isinstance(batch[-1], TERMINAL_EVENTS):
                return
    async for portion in _from_store(project, suffix, seen):
        yield portion


async def _from_store(project: TurnProject, suffix: str, seen: int) -> AsyncGenerator[Sequence[Event]]:
    batches = read = 0
    while (run := await project.runs.get(suffix)) is not None:
        if run.status in TERMINAL:
            events = (await ended_events(project, run))[seen:]
            for start in range(0, len(events), PORTION):
                yield events[start : start + PORTION]
                await asyncio.sleep(0)
            return
        bodies = await project.runs.events(run.key, start=batches)
        batches += len(bodies)
        for body in bodies:
            events = unpack_events(body)
            fresh = events[max(0, seen - read) :]
            read += len(events)
            if fresh:
                seen = read
                yield fresh
        if not bodies:
            await asyncio.sleep(POLL_SECONDS)


async def ended_events(project: TurnProject, run: Run) -> list[Event]:
    """Return all events of a streamed run that has ended.

    A foreground run whose process died may have told more than was kept: the numbers of that are left out.
    """
    recording = await project.runs.recording(run)
    if recording is not None:
        try:
            return [*unpack_events(recording, items=await project.runs.output(run)), _end_of(run)]
        except RecordingBroken:  # an item was erased
            return [TurnStarted(), NumbersSkipped(FRAMES_AHEAD), _end_of(run)]
    kept: list[Event] = [event for body in await project.runs.events(run.key) for event in unpack_events(body)]
    skipped = [] if run.background else [NumbersSkipped(FRAMES_AHEAD)]
    return [*(kept or [TurnStarted()]), *skipped, _end_of(run)]


def _end_of(run: Run) -> Event:
    match run.status:
        case "completed":
            return TurnCompleted(run.usage, run.completed_at or run.created_at)
        case "incomplete":
            return TurnIncomplete(run.incomplete_reason or "", run.usage)
        case "cancelled":
            return TurnCancelled(run.usage)
        case _:
            return TurnFailed(run.error or RunError("server_error", "The run expired."), run.usage)
