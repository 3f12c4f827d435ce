"""Queries made from talk, and answers made from passages alone."""

import pytest
from rows import passage

from onward.retrieval.extract import extract_answer
from onward.retrieval.query import make_queries

FIRST = "What does our refund policy say about partial refunds?"
POLICY = passage(
    "# Refund policy\n\nThis policy applies to everything we sell.\n\n## Full refunds\n\nYou may return unused goods "
    "within 30 days for a full refund.\n\n## Partial refunds\n\nWe grant a partial refund when parts are missing. "
    "It is between 40 % and 80 % of the price.\n\n## Digital goods\n\nE-books and templates can be returned only until "
    "the first download. Licence keys are final.\n\n## Contact\n\nWrite to us.",
    title="refund policy",
    score=0.98,
)
HANDBOOK = passage("Meals are refunded up to 28 euros a day. Every employee has 28 days of paid leave.", score=0.3)


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([], 0),
        (["  "], 0),
        ([FIRST], 1),
        ([FIRST, "And for digital goods specifically?"], 2),
        ([FIRST, "what about keys?"], 2),
        ([FIRST, "How long does it take?"], 2),
        ([FIRST, "digital goods"], 2),
        ([FIRST, "那数字商品呢？"], 2),
        ([FIRST, "How many days of paid leave does an employee have every year?"], 1),
    ],
)
def test_elliptic_messages_bring_what_they_continue(messages: list[str], count: int) -> None:
    queries = make_queries(messages)
    assert len(queries) == count
    assert queries[:1] == [message.strip() for message in messages[-1:] if message.strip()]
    if count == 2:
        assert queries[1] == f"{messages[0]} {messages[1]}"


def test_a_chain_of_fragments_reaches_back_to_its_question() -> None:
    queries = make_queries(
        ["Unrelated opening about the holidays of employees", FIRST, "and digital goods?", "and keys?"]
    )
    assert queries == ["and keys?", f"{FIRST} and digital goods? and keys?"]


def test_long_messages_keep_both_ends() -> None:
    (query,) = make_queries([f"begin {'filler ' * 2000} end?"])
    assert len(query) < 2100 and query.startswith("begin") and query.endswith("end?")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([FIRST], "We grant a partial refund when parts are missing."),
        ([FIRST, "And for digital goods specifically?"], "E-books and templates can be returned only until"),
        (["How many days of paid leave do I get?"], "Every employee has 28 days of paid leave."),
        (["meals"], "Meals are refunded up to 28 euros a day."),
    ],
)
def test_the_best_sentences_are_quoted_word_for_word(messages: list[str], expected: str) -> None:
    passages = [POLICY, HANDBOOK]
    answer = extract_answer(messages, passages)
    assert answer.text.startswith(expected)
    for citation in answer.citations:
        quote = passages[citation.passage].text[citation.quote_start : citation.quote_end]
        assert answer.text[citation.start : citation.end] == quote
    assert answer.citations


def test_headings_are_context_and_never_the_answer() -> None:
    answer = extract_answer(["digital goods"], [POLICY])
    assert "##" not in answer.text and answer.text.startswith("E-books")


def test_nothing_is_found_where_nothing_answers() -> None:
    assert extract_answer(["What is the capital of France?"], [POLICY]).text == ""
    weak = passage("The capital of France is Paris.", score=0.01)
    assert extract_answer(["What is the capital of France?"], [weak]).text == ""
    assert extract_answer([], [POLICY]).text == ""
    assert extract_answer(["x"], []).text == ""
