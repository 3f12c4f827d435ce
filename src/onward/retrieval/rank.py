"""Fusion of the two legs of a search, meaning (cosine) and words (BM25), into one score of 0..1.

The score is a logistic function of the cosine and of the share of the query's weight that a chunk's words reach. Both
are absolute, so that scores compare across queries and stores, and the fusion keeps what rank numbers throw away: a leg
that has nothing to say cannot outvote the other. Meaning weighs less where the query is not in the embedder's language.
It works on whole arrays of rows and knows no chunks, stores or SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from onward.ports.passages import Weights
from onward.retrieval.language import Tongue, guess_tongue

Floats = npt.NDArray[np.float32]


class Legs(NamedTuple):
    """Both legs over the same rows: ``ideal`` is the summed idf of the query's terms, known to the index or not."""

    dense: Floats
    words: Floats
    ideal: float


class Logit(NamedTuple):
    """Coefficients of the log odds that a chunk answers: of its cosine, of its share of words, and the constant."""

    dense: float
    words: float
    bias: float


LOGITS: dict[Tongue, Logit] = {
    "english": Logit(10.0, 6.0, -8.5),
    "latin": Logit(4.5, 10.0, -7.8),
    "other": Logit(1.6, 16.0, -7.3),
}
"""Fitted on English and Chinese questions with one relevant paragraph each; see scripts/evaluate_retrieval.py."""

DENSE_ALONE = Logit(14.0, 0.0, -7.0)
WORDS_ALONE = Logit(0.0, 9.0, -6.0)


BACKGROUND = 0.2
"""Mean cosine to a whole store that is taken as it is; some models place all texts near one another."""
BACKGROUND_ROWS = 50


def choose_logit(
    text: str, *, weights: Weights | None, ranker: Literal["auto", "none"], english_only: bool = True
) -> Logit:
    """Return the coefficients for a query: the caller's weights, meaning alone, or those of its language.

    ``english_only`` says that the embedder understands no other language, as the packaged one.
    """
    if ranker == "none":
        return DENSE_ALONE
    if weights is None:
        return LOGITS[guess_tongue(text) if english_only else "english"]
    share = weights.embedding / (weights.embedding + weights.text)
    mixed = (share * a + (1 - share) * b for a, b in zip(DENSE_ALONE, WORDS_ALONE, strict=True))
    return Logit(*mixed)


def fuse(
    legs: Legs, *, text: str, weights: Weights | None, ranker: Literal["auto", "none"], english_only: bool = True
) -> Floats:
    """Return the log odds of every row."""
    logit = choose_logit(text, weights=weights, ranker=ranker, english_only=english_only)
    share = legs.words / max(legs.ideal, 1e-6)
    return np.asarray(logit.dense * stretch(legs.dense) + logit.words * share + logit.bias, np.float32)


def stretch(dense: Floats) -> Floats:
    """Return cosines with a high background taken off, so that they mean the same for every model."""
    if len(dense) < BACKGROUND_ROWS:
        return dense
    excess = max(0.0, min(0.9, float(dense.mean()) - BACKGROUND))
    return np.asarray((dense - excess) / (1 - excess), np.float32) if excess else dense


def combine(fused: Sequence[Floats]) -> Floats:
    """Return one score of 0..1 a row for several wordings of a need: between their mean and their best."""
    if len(fused) == 1:
        return sigmoid(fused[0])
    stacked = np.stack(fused)
    return sigmoid(np.asarray((stacked.mean(axis=0) + stacked.max(axis=0)) / 2, np.float32))


def sigmoid(odds: Floats) -> Floats:
    """Return probabilities for log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), np.float32)


def order(scores: Floats, *, limit: int) -> npt.NDArray[np.int64]:
    """Return the rows of the best scores, best first; equal scores in row order."""
    limit = min(limit, len(scores))
    partial = limit < len(scores)
    candidates = np.sort(np.argpartition(-scores, limit - 1)[:limit]) if partial else np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")]
