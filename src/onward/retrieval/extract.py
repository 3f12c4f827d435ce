"""Answers without a language model: the sentences of the passages that answer best, word for word.

It asks no model and runs in a few milliseconds; "nothing found" is a matter of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onward.ports.cite import Answer, Citation
from onward.ports.passages import Passage
from onward.retrieval.evidence import Evidence, Sentence
from onward.retrieval.query import make_queries
from onward.retrieval.terms import query_terms

MIN_PASSAGE = 0.1
MIN_SHARE = 0.2
SECOND = 0.85
"""A further place is quoted where it scores so much of the best one."""
MAX_PLACES = 2
MAX_SENTENCES = 3
MAX_CHARACTERS = 700
HEADING_SHARE = 0.8
PASSAGE_SHARE = 0.35
MAX_PASSAGES = 12


class Place(NamedTuple):
    """Neighbouring sentences of one passage to be quoted together."""

    passage: int
    start: int
    end: int
    score: float


def extract_answer(questions: Sequence[str], passages: Sequence[Passage]) -> Answer:
    """Return the best sentences for the user's last message (``questions``: oldest first); empty text finds nothing."""
    wordings = make_queries(questions)
    ranked = [passage for passage in passages[:MAX_PASSAGES] if passage.score >= MIN_PASSAGE]
    if not wordings or not ranked:
        return Answer(text="", citations=[])
    evidence = Evidence(ranked)
    scores = score_sentences(evidence, wordings)
    places: list[Place] = []
    for number in sorted(range(len(scores)), key=lambda n: (-scores[n], n)):
        if scores[number] <= 0 or len(places) == MAX_PLACES:
            break
        if places and scores[number] < SECOND * places[0].score:
            break
        place = _widen(evidence, scores, number)
        if not any(_overlap(place, other) for other in places):
            places.append(place)
    return _compose(ranked, places)


def score_sentences(evidence: Evidence, wordings: Sequence[str]) -> list[float]:
    """Return each sentence's score: the share of the question's weight it and its heading hold, and its passage's rank.

    Of several wordings the first, the message itself, counts in full and the others half.
    """
    asked = [frozenset(query_terms(text)) for text in wordings]
    totals = [evidence.total(terms) or 1.0 for terms in asked]
    best = max(passage.score for passage in evidence.passages)
    scores: list[float] = []
    for sentence in evidence.sentences:
        share = weight = 0.0
        for position, (terms, total) in enumerate(zip(asked, totals, strict=True)):
            factor = 1.0 if position == 0 else 0.5
            share += factor * _share(evidence, sentence, terms, total)
            weight += factor
        share /= weight
        rank = evidence.passages[sentence.passage].score / best
        usable = not sentence.is_heading and share >= MIN_SHARE
        scores.append(share * (1 - PASSAGE_SHARE) + PASSAGE_SHARE * rank * share if usable else 0.0)
    return scores


def _share(evidence: Evidence, sentence: Sentence, terms: frozenset[str], total: float) -> float:
    inside = evidence.total(terms & sentence.terms)
    above = evidence.total((terms & sentence.heading) - sentence.terms)
    return (inside + HEADING_SHARE * above) / total


def _widen(evidence: Evidence, scores: Sequence[float], number: int) -> Place:
    """Take the sentences that follow while they answer too, within the limits on length."""
    first = evidence.sentences[number]
    end, last = first.end, number
    while last + 1 < len(scores) and last + 1 - number < MAX_SENTENCES:
        following = evidence.sentences[last + 1]
        goes_on = following.passage == first.passage and following.heading == first.heading
        if not goes_on or following.is_heading or following.end - first.start > MAX_CHARACTERS:
            break
        if scores[last + 1] < 0.5 * scores[number]:
            break
        last += 1
        end = following.end
    return Place(first.passage, first.start, end, scores[number])


def _overlap(one: Place, other: Place) -> bool:
    return one.passage == other.passage and one.start < other.end and other.start < one.end


def _compose(passages: Sequence[Passage], places: Sequence[Place]) -> Answer:
    text = ""
    citations: list[Citation] = []
    for place in places:
        quote = passages[place.passage].text[place.start : place.end]
        if quote in text:
            continue
        text += "\n\n" if text else ""
        start = len(text)
        text += quote
        citations.append(
            Citation(
                start=start,
                end=len(text),
                index=len(text),
                passage=place.passage,
                quote_start=place.start,
                quote_end=place.end,
                score=round(place.score, 4),
            )
        )
    return Answer(text=text, citations=citations)
