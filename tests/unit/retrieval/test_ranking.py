"""Fusion: bounds, monotony, weights, and the promise that it is never worse than its better leg."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.ports.passages import Weights
from onward.retrieval.index.segment import Entry, build_segment, merge_segments
from onward.retrieval.rank import Floats, Legs, choose_logit, combine, fuse, order
from onward.retrieval.terms import hash_term, pack_terms


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def legs(dense: Floats, words: Floats, ideal: float = 10.0) -> Legs:
    return Legs(dense=dense, words=words, ideal=ideal)


def scores(dense: Floats, words: Floats, *, text: str = "what is it", weights: Weights | None = None) -> Floats:
    return combine([fuse(legs(dense, words), text=text, weights=weights, ranker="auto")])


@given(st.floats(-1, 1), st.floats(0, 22), st.sampled_from(["what is it", "wie ist das", "退款政策", ""]))
def test_scores_are_probabilities_that_rise_with_each_leg(cosine: float, bm25: float, text: str) -> None:
    low, dense_up, words_up = scores(floats(cosine, cosine + 0.1, cosine), floats(bm25, bm25, bm25 + 1), text=text)
    assert 0 <= low <= dense_up <= 1 and low <= words_up <= 1


def test_a_leg_that_says_nothing_cannot_outvote_the_other() -> None:
    flat = np.full(50, 0.3, np.float32)
    words = np.zeros(50, np.float32)
    words[7] = 5
    assert order(scores(flat, words), limit=1)[0] == 7
    dense = flat.copy()
    dense[9] = 0.8
    assert order(scores(dense, np.zeros(50, np.float32)), limit=1)[0] == 9


def test_meaning_counts_less_outside_its_language() -> None:
    english = choose_logit("what is the policy", weights=None, ranker="auto")
    chinese = choose_logit("退款政策是什么", weights=None, ranker="auto")
    german = choose_logit("wie ist die Regel", weights=None, ranker="auto")
    shares = [logit.dense / (logit.dense + logit.words) for logit in (chinese, german, english)]
    assert shares == sorted(shares) and shares[0] < 0.15 < 0.5 < shares[2]


def test_a_multilingual_embedder_counts_in_every_language() -> None:
    for text in ("退款政策是什么", "wie ist die Regel"):
        chosen = choose_logit(text, weights=None, ranker="auto", english_only=False)
        assert chosen == choose_logit("what is it", weights=None, ranker="auto")


def test_a_model_that_crowds_its_texts_is_stretched() -> None:
    crowd = np.full(100, 0.75, np.float32)
    crowd[3] = 0.9
    none = np.zeros(100, np.float32)
    crowded, plain = scores(crowd, none), scores(np.full(100, 0.1, np.float32), none)
    assert crowded[3] > 10 * crowded[0] and crowded[0] < 0.1 and crowded.argmax() == 3
    assert plain[0] < crowded[3]
    assert scores(crowd[:10], none[:10])[0] > crowded[0], "a few rows say nothing of a background"


def test_weights_and_ranker_are_honoured() -> None:
    dense, words = floats(0.9, 0.1), floats(0, 10)
    assert order(scores(dense, words, weights=Weights(1, 0)), limit=1)[0] == 0
    assert order(scores(dense, words, weights=Weights(0, 1)), limit=1)[0] == 1
    assert fuse(legs(dense, words), text="x", weights=Weights(0, 1), ranker="none").argmax() == 0


def test_several_wordings_lie_between_mean_and_best() -> None:
    one, two = floats(2, 0), floats(0, 1)
    both = combine([one, two])
    assert both[0] > both[1]
    assert combine([one])[0] > both[0] > combine([floats(1, 0.5)])[0]


def test_order_breaks_ties_by_row() -> None:
    assert order(floats(1, 3, 3, 2, 3), limit=3).tolist() == [1, 2, 4]
    assert order(floats(), limit=3).tolist() == []


def entry(document: int, ordinal: int, text: str, vector: bytes = b"\1" * 8) -> Entry:
    return Entry(document, ordinal, ordinal, ordinal + 1, vector, pack_terms(text))


def test_bm25_prefers_rare_frequent_and_short() -> None:
    texts = ["refund", "refund " + "filler words go here " * 20, "refund refund other", "nothing"]
    segment = build_segment([entry(n, 0, text) for n, text in enumerate(texts)], dimensions=8)
    found = np.zeros(4, np.float32)
    segment.add_bm25(found, hash_term("refund"), weight=1.0, mean_length=segment.length / 4)
    assert found[2] > found[0] > found[1] > found[3] == 0
    assert (segment.frequency(hash_term("refund")), segment.frequency(hash_term("absent"))) == (3, 0)


def test_merging_keeps_what_is_live_and_nothing_else() -> None:
    one = build_segment([entry(n, i, f"alpha word{n} word{i}") for n in (1, 2) for i in range(3)], dimensions=8)
    two = build_segment([entry(3, i, f"alpha word3 word{i}") for i in range(2)], dimensions=8)
    merged = merge_segments([one, two], np.array([2, 3], np.int64))
    whole = build_segment(
        [entry(2, i, f"alpha word2 word{i}") for i in range(3)]
        + [entry(3, i, f"alpha word3 word{i}") for i in range(2)],
        dimensions=8,
    )
    for word in ("alpha", "word0", "word1", "word2", "word3"):
        expected, found = np.zeros(5, np.float32), np.zeros(5, np.float32)
        whole.add_bm25(expected, hash_term(word), weight=1.0, mean_length=3.0)
        merged.add_bm25(found, hash_term(word), weight=1.0, mean_length=3.0)
        assert found.tolist() == pytest.approx(expected.tolist())
    assert merged.documents.tolist() == [2, 3] and merged.ordinals.tolist() == whole.ordinals.tolist()
    assert merged.nbytes == whole.nbytes


def test_cosines_of_another_space_are_zero() -> None:
    segment = build_segment([entry(1, 0, "a"), Entry(2, 0, 0, 1, b"", pack_terms("b"))], dimensions=8)
    same = segment.cosines(np.ones(8, np.int8))
    assert same[0] == pytest.approx(1.0, abs=1e-3) and abs(same[1]) < 1e-6
    assert segment.cosines(np.ones(9, np.int8)).tolist() == [0, 0]


def axis(*places: int) -> bytes:
    return b"".join(bytes(100 if i == place else 0 for i in range(8)) for place in places)


def shared_windows() -> list[Entry]:
    """Return two documents of chunks that share windows: 0-2, 1-4 and, in the other, 0-1, 1-3."""
    return [
        Entry(1, 0, 0, 2, axis(0, 1), pack_terms("a")),
        Entry(1, 1, 1, 4, axis(2, 3), pack_terms("b")),
        Entry(2, 0, 0, 1, axis(4), pack_terms("c")),
        Entry(2, 1, 1, 3, axis(5, 6), pack_terms("d")),
    ]


@pytest.mark.parametrize(("place", "rows"), [(0, [0]), (1, [0, 1]), (2, [1]), (3, [1]), (4, [2]), (5, [3]), (6, [3])])
def test_a_chunk_is_as_near_as_its_nearest_window(place: int, rows: list[int]) -> None:
    query = np.frombuffer(axis(place), np.int8)
    segment = build_segment(shared_windows(), dimensions=8)
    assert np.flatnonzero(segment.cosines(query) > 0.9).tolist() == rows
    copies = [build_segment(shared_windows(), dimensions=8) for _ in range(2)]
    doubled = merge_segments(copies, np.array([1, 2], np.int64))
    assert np.flatnonzero(doubled.cosines(query) > 0.9).tolist() == rows + [row + 4 for row in rows]
    second = merge_segments(copies[:1], np.array([2], np.int64))
    assert np.flatnonzero(second.cosines(query) > 0.9).tolist() == [row - 2 for row in rows if row >= 2]
