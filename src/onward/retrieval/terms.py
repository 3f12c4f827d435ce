"""Words of a text as the keyword index knows them: folded, stemmed, without stop words; CJK runs as bigrams.

SQLite's own tokenizers (unicode61 with diacritics removed, then Porter) do the work in C. Documents and queries pass
through here alike; the index sees hashes only.
"""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections import Counter
from functools import cache
from typing import cast

import apsw

from onward.retrieval.words import words_of

MAX_FREQUENCY = 255

_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]+"
)

COMMON = words_of(
    """
    a an and are as at be been but by for from had has have he her his i if in into is it its no not of on or she so
    such that the their them then there these they this to was we were will with you your
    """
)
"""Left out of the index altogether: they carry no meaning and are in every chunk."""

QUESTION = words_of(
    """
    about all also am any because being can could did do does doing each give how just me more most my our out over
    please s should some tell than t through up us very what when where which while who whom why would say says know
    many much
    """
)
"""Left out of queries besides."""

_local = threading.local()


def _tokenize(data: bytes) -> list[str]:
    """Run this thread's tokenizer: SQLite's belong to a connection, and a connection to a thread."""
    porter: apsw.FTS5Tokenizer | None = getattr(_local, "porter", None)
    if porter is None:
        connection = _local.connection = apsw.Connection(":memory:")
        porter = connection.fts5_tokenizer("porter", ["unicode61", "remove_diacritics", "2"])
        _local.porter = porter
    found = porter(data, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
    return cast("list[str]", found)


def split_terms(text: str) -> list[str]:
    """Return every term of a text in no particular order, repeats included."""
    bigrams: list[str] = []

    def take(match: re.Match[str]) -> str:
        run = match[0]
        if len(run) == 1:
            bigrams.append(run)
        bigrams.extend(run[i : i + 2] for i in range(len(run) - 1))
        return " "

    spaced = text if text.isascii() else _UNSPACED.sub(take, text)
    return _tokenize(spaced.encode("utf-8", "replace")) + bigrams


@cache
def _stems(words: frozenset[str]) -> frozenset[str]:
    return frozenset(split_terms(" ".join(words)))


def query_terms(text: str) -> list[str]:
    """Return a query's distinct terms in order, without stop words unless it has nothing else."""
    terms = list(dict.fromkeys(split_terms(text)))
    stop = _stems(COMMON) | _stems(QUESTION)
    kept = [term for term in terms if term not in stop]
    return kept or [term for term in terms if term not in _stems(COMMON)]


def hash_term(term: str) -> int:
    """Return the 32 bits that stand for a term in the index."""
    return zlib.crc32(term.encode("utf-8", "replace"))


def pack_terms(text: str, *, context: str = "") -> bytes:
    """Return a text's terms as the index stores them; terms of ``context`` (title, heading) count once each.

    Layout, little-endian: u32 number of distinct terms, u32 length in terms, sorted u32 hashes, u8 frequencies.
    """
    counts = Counter(split_terms(text))
    counts.update(set(split_terms(context)))
    for term in _stems(COMMON):
        counts.pop(term, None)
    hashed: Counter[int] = Counter()
    for term, count in counts.items():
        hashed[hash_term(term)] += count
    ordered = sorted(hashed)
    length = sum(hashed.values())
    frequencies = bytes(min(hashed[key], MAX_FREQUENCY) for key in ordered)
    return struct.pack(f"<II{len(ordered)}I", len(ordered), length, *ordered) + frequencies
