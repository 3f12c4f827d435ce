"""Citations: which sentences get one, where they point, and how they come while the answer streams."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import passage

from onward.ports.cite import Citation
from onward.retrieval.cite import SentenceCiter

REFUNDS = passage(
    "# Refund policy\n\nYou may return unused goods within 30 days for a full refund. "
    "A partial refund is between 40 % and 80 % of the purchase price, depending on the condition.\n\n"
    "## Digital goods\n\nDigital goods can be refunded only until the first download."
)
LEAVE = passage("Every employee has 28 days of paid leave. Unused days expire on 31 March of the following year.")
CHINESE = passage("退款政策规定，客户可以在三十天内退回商品并获得全额退款。数字商品下载后不予退款。")
ALL = [REFUNDS, LEAVE, CHINESE]

ANSWER = (
    "A partial refund lies between 40 % and 80 % of the price [1]. The company was founded by two brothers. "
    "Employees get 28 days of paid leave! Digital goods can be refunded until the first download. Anything else?"
)


def cite(answer: str, *, size: int = 3) -> list[Citation]:
    citer = SentenceCiter(ALL)
    found = [c for at in range(0, len(answer), size) for c in citer.feed(answer[at : at + size])]
    return found + citer.finish()


def pairs(answer: str, found: list[Citation]) -> list[tuple[str, int]]:
    return [(answer[c.start : c.end], c.passage) for c in found]


def test_supported_sentences_are_cited_and_others_not() -> None:
    found = cite(ANSWER)
    assert pairs(ANSWER, found) == [
        ("A partial refund lies between 40 % and 80 % of the price [1].", 0),
        ("Employees get 28 days of paid leave!", 1),
        ("Digital goods can be refunded until the first download.", 0),
    ]
    quotes = [ALL[c.passage].text[c.quote_start : c.quote_end] for c in found]
    assert quotes[0].startswith("A partial refund is between") and quotes[2].startswith("Digital goods can be")
    assert all(c.index == c.end and 0 < c.score <= 1 for c in found)


PRICES = passage("Members of the club pay 12 euros a month. Guests pay 20 euros at the door. Children enter free.")
SENTENCES = (
    "Members of the club pay 12 euros a month, guests pay 20 euros at the door.",
    "Guests pay 20 euros at the door.",
    "Guests pay 20 euros at the door and children enter free.",
    "Members of the club pay 12 euros a month.",
)


@given(st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=5))
def test_quotes_of_a_passage_are_the_same_or_apart(sentences: list[str]) -> None:
    citer = SentenceCiter([PRICES])
    found = [*citer.feed(" ".join(sentences)), *citer.finish()]
    assert len(found) >= 1
    quotes = [(one.quote_start, one.quote_end) for one in found]
    for start, end in quotes:
        assert PRICES.text[start:end].strip() == PRICES.text[start:end] != ""
        assert all((start, end) == other or end <= other[0] or other[1] <= start for other in quotes)


@given(st.integers(1, 60))
def test_the_size_of_deltas_does_not_matter(size: int) -> None:
    assert cite(ANSWER, size=size) == cite(ANSWER, size=10_000)


@pytest.mark.parametrize(
    "answer",
    [
        "A partial refund is between 40 % and 95 % of the purchase price.",
        "Every employee has 25 days of paid leave.",
        "Yes.",
        "Bananas grow in tropical climates near the equator.",
        "I could not find that in the documents.",
        "```\nA partial refund is between 40 % and 80 % of the purchase price.\n```",
        "",
    ],
)
def test_wrong_numbers_code_and_chatter_get_none(answer: str) -> None:
    assert cite(answer) == []


def test_decisions_come_at_sentence_ends() -> None:
    citer = SentenceCiter(ALL)
    assert citer.feed("Every employee has 28 days of paid leave") == []
    assert citer.feed(".") == []
    (citation,) = citer.feed(" Also ")
    assert (citation.start, citation.end) == (0, 41)
    assert citer.finish() == []


def test_lists_and_chinese_are_cited() -> None:
    answer = "The rules:\n- Every employee has 28 days of paid leave\n- 数字商品下载后不予退款。"
    assert pairs(answer, cite(answer)) == [
        ("Every employee has 28 days of paid leave", 1),
        ("数字商品下载后不予退款。", 2),
    ]


def test_a_marker_tips_the_scale_between_equals() -> None:
    same = [
        passage("Orders ship within two working days from Berlin."),
        passage("Orders ship within two working days from Berlin."),
    ]
    citer = SentenceCiter(same)
    citer.feed("Orders ship within two working days from Berlin [2].")
    (citation,) = citer.finish()
    assert citation.passage == 1


def test_two_sentences_may_support_one() -> None:
    answer = "Employees have 28 days of paid leave and unused days expire on 31 March of the following year."
    (citation,) = cite(answer)
    assert LEAVE.text[citation.quote_start : citation.quote_end] == LEAVE.text


def test_a_sentence_is_decided_fast_over_many_passages() -> None:
    filler = " ".join(f"Rule {n} of the library concerns shelf {n * 7} and its refund of {n} coins." for n in range(40))
    citer = SentenceCiter([passage(f"{filler} Part {k}.") for k in range(20)])
    start = time.thread_time()
    for n in range(50):
        citer.feed(f"The rule of the library concerns shelf {n * 7} and the refund of coins. ")
    assert (time.thread_time() - start) / 50 < 0.02


def test_an_endless_sentence_does_not_grow_without_bound() -> None:
    citer = SentenceCiter(ALL)
    for _ in range(3000):
        citer.feed("word ")
    assert citer.pending < 5000
