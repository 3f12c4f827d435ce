"""Windows and chunks: limits, coverage and boundaries, over many texts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.ports.parse import Document, ParseError, Prepared, Recipe
from onward.retrieval import chunk
from onward.retrieval.chunk import check_recipe, prepare
from onward.retrieval.parse.child import count_tokens
from onward.retrieval.parse.text import markdown_document
from onward.retrieval.sentences import split_atoms

COUNT = count_tokens()
WORDS = st.sampled_from(
    [
        "refund",
        "policy",
        "a",
        "Mr.",
        "end.",
        "Next",
        "über",
        "退款政策。",
        "x" * 300,
        "\n",
        "\n\n",
        "- item\n",
        "1.5",
        "?",
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=900).map(" ".join).map(str.strip).filter(bool)
RECIPES = st.integers(100, 4096).flatmap(lambda m: st.builds(Recipe, st.just(m), st.integers(0, m // 2)))


@settings(max_examples=60, deadline=None)
@given(TEXTS, RECIPES)
def test_chunks_cover_the_text_within_their_limits(text: str, recipe: Recipe) -> None:
    prepared = prepare(Document(text), recipe, COUNT)
    windows, chunks = prepared.windows, prepared.chunks
    assert "".join(text[w.start : w.end] for w in windows) == text
    assert (chunks[0].start, chunks[-1].end) == (0, len(text))
    assert [c.ordinal for c in chunks] == list(range(len(chunks)))
    for one in chunks:
        assert one.tokens <= recipe.max_tokens
        assert (one.start, one.end) == (windows[one.first_window].start, windows[one.last_window - 1].end)
    for one, following in pairwise(chunks):
        assert one.first_window < following.first_window <= one.last_window < following.last_window
        shared = sum(w.tokens for w in windows[following.first_window : one.last_window])
        assert shared <= recipe.overlap_tokens
    assert prepared == prepare(Document(text), recipe, COUNT)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=600))
def test_atoms_cover_any_text(text: str) -> None:
    atoms = split_atoms(text, offset=5)
    assert "".join(text[a.start - 5 : a.end - 5] for a in atoms) == text
    assert all(a.end > a.start for a in atoms)


def sentences(text: str) -> list[str]:
    return [text[a.start : a.end].strip() for a in split_atoms(text)]


def test_sentences_end_where_people_end_them() -> None:
    text = "Mr. Smith paid 3.5 euros. See e.g. U.S. law! “Why?” Yes.\nA line\n\nNext 政策。再见！好"
    assert sentences(text) == [
        "Mr. Smith paid 3.5 euros.",
        "See e.g. U.S. law!",
        "“Why?”",
        "Yes.",
        "A line",
        "Next 政策。",
        "再见！",
        "好",
    ]


def test_wrapped_lines_are_one_sentence_and_lists_are_not() -> None:
    prose = (
        "We give a partial refund when an item comes back used, incomplete, or without\nits packaging. "
        "The refund is\n70 percent of the purchase price for items that were assembled but are whole and\n"
        "A4 paper counts, too.\nA new line."
    )
    assert [one.split("\n") for one in sentences(prose)] == [
        ["We give a partial refund when an item comes back used, incomplete, or without", "its packaging."],
        [
            "The refund is",
            "70 percent of the purchase price for items that were assembled but are whole and",
            "A4 paper counts, too.",
        ],
        ["A new line."],
    ]
    items = "These are the things that we are going to look at in this long line\n- one\n- two\n1. three\n| a | b |"
    assert len(sentences(items)) == 5
    table = "name,price,amount of the goods in stock\npaper,9.50,twelve\npens,1.20,four"
    assert len(sentences(table)) == 3
    code = "def function_with_a_long_name(argument: int, other: str) -> bool\n    return argument\nx = 1\ny = 2"
    assert len(sentences(code)) == 4


def test_the_default_recipe_fills_its_chunks() -> None:
    text = " ".join(f"Sentence number {n} says something about the budget of the library." for n in range(900))
    prepared = prepare(Document(text), Recipe(), COUNT)
    inner = prepared.chunks[1:-1]
    assert all(c.tokens > 600 for c in inner) and len(inner) > 10
    steps = [b.start - a.start for a, b in pairwise(inner)]
    lengths = [c.end - c.start for c in inner]
    assert 0.4 < sum(steps) / len(steps) / (sum(lengths) / len(lengths)) < 0.62
    assert sum(w.tokens for w in prepared.windows) == prepared.tokens


def long_section(title: str, sentences: int) -> str:
    body = " ".join(f"This is sentence {n} of {title} and it goes on for a while." for n in range(sentences))
    return f"## {title}\n\n{body}\n\n"


def test_chunks_begin_at_headings_where_limits_allow() -> None:
    text = "".join(long_section(name, 40) for name in ("Alpha", "Beta", "Gamma", "Delta")).strip()
    document = markdown_document(text)
    prepared = prepare(document, Recipe(800, 0), COUNT, title="Guide")
    assert [c.heading for c in prepared.chunks] == ["Alpha", "Beta", "Gamma", "Delta"]
    assert all(text[c.start :].startswith("## ") for c in prepared.chunks)


def test_pages_are_those_of_the_chunks_beginnings() -> None:
    from onward.ports.parse import Page

    text = "word " * 3000
    prepared: Prepared = prepare(
        Document(text, pages=[Page(0, 1), Page(5000, 2), Page(10000, 3)]), Recipe(200, 0), COUNT
    )
    assert {c.page for c in prepared.chunks} == {1, 2, 3}
    assert all(c.page == 1 + (c.start >= 5000) + (c.start >= 10000) for c in prepared.chunks)


@pytest.mark.parametrize("recipe", [Recipe(99, 0), Recipe(4097, 0), Recipe(800, 401), Recipe(800, -1)])
def test_recipes_outside_the_limits_are_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="must be between"):
        check_recipe(recipe)


def test_too_many_tokens_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "MAX_TOKENS", 50)
    with pytest.raises(ParseError, match="at most 50") as caught:
        prepare(Document("word " * 60), Recipe(), COUNT)
    assert caught.value.code == "invalid_file"
