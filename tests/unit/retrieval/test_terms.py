"""Words of the keyword index."""

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from onward.retrieval.language import guess_tongue
from onward.retrieval.terms import hash_term, pack_terms, query_terms, split_terms
from onward.retrieval.title import clean_title


def test_words_are_folded_and_stemmed() -> None:
    assert split_terms("Running RUNS refunds, Café!") == ["run", "run", "refund", "cafe"]


def test_unspaced_scripts_become_bigrams() -> None:
    assert sorted(split_terms("退款政策 and 好")) == sorted(["and", "退款", "款政", "政策", "好"])
    assert "ログ" in split_terms("ブログの記事")


def test_queries_lose_stop_words_unless_nothing_is_left() -> None:
    assert query_terms("What does our refund policy say about the refund?") == ["refund", "polici"]
    assert query_terms("what about all") == ["what", "about", "all"]
    assert query_terms("the of and") == []


def test_packed_terms_are_sorted_hashes_with_frequencies() -> None:
    packed = pack_terms("refund refund policy the", context="Refund guide")
    count, length = struct.unpack_from("<II", packed)
    hashes = struct.unpack_from(f"<{count}I", packed, 8)
    frequencies = dict(zip(hashes, packed[8 + 4 * count :], strict=True))
    assert (count, length, list(hashes)) == (3, 5, sorted(hashes))
    assert frequencies == {hash_term("refund"): 3, hash_term("polici"): 1, hash_term("guid"): 1}
    assert pack_terms("") == struct.pack("<II", 0, 0)


def test_frequencies_are_capped() -> None:
    assert pack_terms("refund " * 1000)[-1] == 255


def test_threads_have_their_own_tokenizers() -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(split_terms, ["running refunds"] * 200))
    assert all(terms == ["run", "refund"] for terms in found)


@pytest.mark.parametrize(
    ("text", "tongue"),
    [
        ("What is the refund policy?", "english"),
        ("refund policy", "english"),
        ("error code 0x80070005", "english"),
        ("", "english"),
        ("Wie hoch ist die Erstattung?", "latin"),
        ("Rückerstattung Teilbetrag", "latin"),
        ("¿Cuál es la política?", "latin"),
        ("退款政策是什么？", "other"),
        ("Какова политика возврата?", "other"),
        ("What does 退款 mean in the contract of sale?", "english"),
    ],
)
def test_tongues(text: str, tongue: str) -> None:
    assert guess_tongue(text) == tongue


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Refund-Policy_v2.pdf", "Refund Policy v2"),
        ("dir/refundPolicy.final.md", "refund Policy final"),
        (r"C:\files\A.txt", "A"),
        ("x" * 500 + ".md", "x" * 200),
    ],
)
def test_titles(name: str, title: str) -> None:
    assert clean_title(name) == title
