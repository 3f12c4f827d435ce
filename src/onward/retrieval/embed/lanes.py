"""The two lanes of the embedder: threads that run batches, queries before ingestion.

An ingestion batch is at most one model window (about 50 ms on a core), and its threads are nice'd: a query that
arrives meanwhile gets the processor at once. It knows the model as a function and no sockets.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from onward.ports.embed import Lane
from onward.retrieval.embed.asset import MAX_PIECES
from onward.retrieval.embed.session import Floats, Session, join_parts, split_pieces

INGEST_NICE = 10
QUERY_THREADS = 2


class Batch:
    """Parts of one job that run together."""

    __slots__ = ("job", "positions")

    def __init__(self, job: Job, positions: list[int]) -> None:
        self.job = job
        self.positions = positions


class Job:
    """One request: its parts, the batches that are still open, and the future of its vectors."""

    def __init__(self, lane: Lane, pieces: Sequence[Sequence[int]]) -> None:
        self.lane: Lane = lane
        self.future: Future[list[Floats]] = Future()
        self.parts: list[Sequence[int]] = []
        self.spans: list[tuple[int, int]] = []
        for text in pieces:
            parts = split_pieces(text)
            self.spans.append((len(self.parts), len(self.parts) + len(parts)))
            self.parts += parts
        self.vectors: list[Floats | None] = [None] * len(self.parts)
        self.open = 0

    def batches(self) -> list[Batch]:
        """Group parts of like length until a batch, padded, is as large as one window."""
        order = sorted(range(len(self.parts)), key=lambda i: len(self.parts[i]))
        batches: list[Batch] = []
        current: list[int] = []
        for position in order:
            width = len(self.parts[position]) + 2
            if current and width * (len(current) + 1) > MAX_PIECES:
                batches.append(Batch(self, current))
                current = []
            current.append(position)
        if current:
            batches.append(Batch(self, current))
        self.open = len(batches)
        return batches[::-1]

    def resolve(self) -> list[Floats]:
        """Return one vector a text from the vectors of its parts."""
        result: list[Floats] = []
        for first, last in self.spans:
            vectors = [v for v in self.vectors[first:last] if v is not None]
            result.append(join_parts(_stack(vectors), [len(part) for part in self.parts[first:last]]))
        return result


def _stack(vectors: list[Floats]) -> Floats:
    import numpy as np

    return np.stack(vectors)


class Lanes:
    """Runs jobs on threads; ``submit`` may be called from any thread."""

    def __init__(self, session: Session, *, threads: int) -> None:
        self._session = session
        self._wake = threading.Condition()
        self._queues: dict[Lane, deque[Batch]] = {"query": deque(), "ingest": deque()}
        self._queries = 0
        self._closed = False
        counts: dict[Lane, int] = {"query": QUERY_THREADS, "ingest": threads}
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), daemon=True)
            for lane, count in counts.items()
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, texts: Sequence[str], lane: Lane) -> Future[list[Floats]]:
        """Queue texts; the future gives one vector a text. Cancelling it drops what has not begun."""
        job = Job(lane, self._session.tokenize(texts))
        batches = job.batches()
        if not batches:
            job.future.set_result([])
            return job.future
        with self._wake:
            self._queues[lane].extend(batches)
            self._queries += len(batches) if lane == "query" else 0
            self._wake.notify_all()
        return job.future

    def close(self) -> None:
        """End the threads after their present batch."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, lane: Lane) -> None:
        if lane == "ingest":
            _be_nice()
        while (batch := self._take(lane)) is not None:
            try:
                self._run(batch)
            finally:
                if lane == "query":
                    with self._wake:
                        self._queries -= 1
                        self._wake.notify_all()

    def _take(self, lane: Lane) -> Batch | None:
        queue = self._queues[lane]
        with self._wake:
            self._wake.wait_for(lambda: self._closed or (bool(queue) and (lane == "query" or not self._queries)))
            return None if self._closed else queue.popleft()

    def _run(self, batch: Batch) -> None:
        job = batch.job
        if job.future.done():
            return
        try:
            vectors = self._session.run([job.parts[i] for i in batch.positions])
        except Exception as error:  # noqa: BLE001 the caller gets it, and the lane lives on
            with self._wake:
                if not job.future.done():
                    job.future.set_exception(error)
            return
        with self._wake:
            for row, position in enumerate(batch.positions):
                job.vectors[position] = vectors[row]
            job.open -= 1
            finished = job.open == 0 and not job.future.done()
        if finished and job.future.set_running_or_notify_cancel():
            job.future.set_result(job.resolve())


def _be_nice() -> None:
    """Lower this thread's priority (Linux: a thread id is a process id to the scheduler)."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), INGEST_NICE)
    except (OSError, AttributeError):
        return
