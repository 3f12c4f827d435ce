"""One search over snapshots: both legs over all visible rows, fusion, then the text of the winners.

Runs on a reader thread. It knows no files beyond their keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from msgspec import json

from onward.ports.passages import Passage, SearchQuery
from onward.retrieval.embed.asset import MODEL
from onward.retrieval.index.cache import SnapshotCache
from onward.retrieval.index.database import Session
from onward.retrieval.index.quantize import quantize, to_matrix
from onward.retrieval.index.segment import Bools, Floats, Segment
from onward.retrieval.index.snapshot import Snapshot, Space
from onward.retrieval.rank import Legs, combine, fuse, order
from onward.retrieval.terms import hash_term, query_terms

SMOOTHING = 20
"""Chunks without any term that are added to small stores: in one of three chunks no term would count otherwise."""


SPARE = 8
"""Rows ranked beyond the limit, for those that turn out to be gone or the same."""


class Scope(NamedTuple):
    """The segments of all stores of a search in one row space."""

    snapshots: list[tuple[int, Snapshot]]
    segments: list[Segment]
    owners: list[int]
    offsets: npt.NDArray[np.int64]
    mask: Bools


def search(
    session: Session, cache: SnapshotCache, project: int, stores: Sequence[int], query: SearchQuery
) -> list[Passage]:
    """Return the best passages; see PassageIndex.search."""
    scope = _scope(session, cache, project, stores, query)
    if not scope.mask.any():
        return []
    vectors = quantize(to_matrix(query.vectors))
    packaged = query.model == MODEL
    fused = [
        fuse(
            _legs(scope, text, vectors[i]),
            text=text,
            weights=query.weights,
            ranker=query.ranker,
            english_only=packaged,
        )
        for i, text in enumerate(query.texts)
    ]
    scores = combine(fused)
    scores[~scope.mask] = -1.0
    return _passages(session, project, scope, scores, query)


def _scope(session: Session, cache: SnapshotCache, project: int, stores: Sequence[int], query: SearchQuery) -> Scope:
    space = Space(query.model, query.vectors.dimensions)
    snapshots = [(store, cache.current(session, project, store, space)) for store in dict.fromkeys(stores)]
    segments: list[Segment] = []
    owners: list[int] = []
    masks: list[Bools] = []
    for owner, (_, snapshot) in enumerate(snapshots):
        segments += snapshot.segments
        owners += [owner] * len(snapshot.segments)
        masks += snapshot.masks(query.filter)
    offsets = np.cumsum([0] + [len(segment) for segment in segments])
    return Scope(snapshots, segments, owners, offsets, np.concatenate(masks) if masks else np.zeros(0, np.bool_))


def _legs(scope: Scope, text: str, vector: npt.NDArray[np.int8]) -> Legs:
    dense = np.concatenate([segment.cosines(vector) for segment in scope.segments])
    words, ideal = _bm25(scope, text)
    return Legs(dense=dense, words=words, ideal=ideal)


def _bm25(scope: Scope, text: str) -> tuple[Floats, float]:
    """Return BM25 of every row, and the summed weight of all terms of the query, those of no chunk included."""
    rows = int(scope.offsets[-1])
    mean = sum(segment.length for segment in scope.segments) / max(rows, 1)
    scores = np.zeros(rows, np.float32)
    ideal = 0.0
    smoothing = max(0.0, SMOOTHING - rows / 10)
    for key in {hash_term(term) for term in query_terms(text)}:
        frequency = sum(segment.frequency(key) for segment in scope.segments)
        weight = math.log(1 + (rows + smoothing - frequency + 0.5) / (frequency + 0.5))
        ideal += weight
        if not frequency:
            continue
        for segment, first, last in zip(scope.segments, scope.offsets[:-1], scope.offsets[1:], strict=True):
            segment.add_bm25(scores[first:last], key, weight=weight, mean_length=mean)
    return scores, ideal


class Winner(NamedTuple):
    """A ranked row and the chunk it stands for."""

    score: float
    owner: int
    document: int
    ordinal: int


def _passages(session: Session, project: int, scope: Scope, scores: Floats, query: SearchQuery) -> list[Passage]:
    winners = _winners(scope, scores, query)
    keys = json.encode([(winner.document, winner.ordinal) for winner in winners]).decode()
    rows = session.rows("documents.passages", project=project, keys=keys)
    texts = {cast("tuple[int, int]", row[:2]): row[2:] for row in rows}
    passages: list[Passage] = []
    for winner in winners:
        store, snapshot = scope.snapshots[winner.owner]
        file = snapshot.file_of(winner.document, query.filter)
        found = texts.get((winner.document, winner.ordinal))
        if file is None or found is None:
            continue
        text, start, stop, page, heading, title = cast("tuple[str, int, int, int | None, str, str]", found)
        passages.append(
            Passage(
                store=store,
                file=file,
                document=winner.document,
                ordinal=winner.ordinal,
                text=text,
                start=start,
                end=stop,
                score=min(winner.score, 1.0),
                page=page,
                heading=heading,
                title=title,
                attributes=snapshot.links[file].attributes,
            )
        )
    return passages[: query.limit]


def _winners(scope: Scope, scores: Floats, query: SearchQuery) -> list[Winner]:
    """Return the best rows, each chunk once though several stores may show it."""
    spare = query.limit if len(scope.snapshots) > 1 else 0
    rows: list[int] = order(scores, limit=query.limit + spare + SPARE).tolist()
    winners: dict[tuple[int, int], Winner] = {}
    for row in rows:
        score = float(scores[row])
        if score <= 0 or score < query.threshold:
            break
        at = int(np.searchsorted(scope.offsets, row, side="right")) - 1
        segment = scope.segments[at]
        local = int(row - scope.offsets[at])
        key = int(segment.documents[segment.slots[local]]), int(segment.ordinals[local])
        winners.setdefault(key, Winner(score, scope.owners[at], *key))
    return list(winners.values())
