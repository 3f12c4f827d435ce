"""What to search for: the user's last message, and with it what went before where it does not stand on its own.

It works on texts alone and asks no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onward.retrieval.terms import query_terms

MAX_QUERY = 2000
SHORT = 3
"""Content words up to which a message counts as elliptic when it continues an earlier one."""
BRIEF = 8

_CONTINUES = re.compile(
    r"""^\W*(?:and|but|or|so|also|then|what\s+about|how\s+about|same|ok(?:ay)?|no|yes|why|und|aber|oder|auch|et|mais|ou|y|pero|e|ma|mas
    |那么?|那|而|还有|如果|但是?|ちなみに|では|じゃあ|그럼|그리고)(?![\w])""",
    re.IGNORECASE | re.VERBOSE,
)
_CONTINUES_CJK = re.compile(r"^\W*(?:那|而|还有|那么|但|では|じゃあ|それ|그럼|그리고)")
_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|that|those|this|these|there|he|she|him|her|his|one|ones|ones?'s|both|either|former|latter"
    r"|instead|otherwise|specifically|exactly|else|too|above|previous)\b|它|他们|她们|这个?|那个?|其中|これ|それ|그것",
    re.IGNORECASE,
)


def make_queries(messages: Sequence[str]) -> list[str]:
    """Return the wordings to search for; ``messages`` are the user's, oldest first.

    A message that stands on its own is one query. An elliptic one is two: itself, and itself after what it continues.
    """
    texts = [text for text in (_trim(message) for message in messages) if text]
    if not texts:
        return []
    last = texts[-1]
    context: list[str] = []
    for earlier in reversed(texts[:-1]):
        context.insert(0, earlier)
        if not is_elliptic(earlier):
            break
    if not context or not is_elliptic(last):
        return [last]
    return [last, _trim(" ".join([*context, last]))]


def is_elliptic(message: str) -> bool:
    """Say whether a message needs the one before it: it is short, and continues, refers back or is a mere fragment."""
    words = query_terms(message)
    if _CONTINUES.match(message) or _CONTINUES_CJK.match(message):
        return len(words) <= 2 * BRIEF
    if _REFERS.search(message):
        return len(words) <= BRIEF
    return len(words) < SHORT


def _trim(message: str) -> str:
    """Keep the two ends of a long message: the question stands at one of them."""
    text = " ".join(message.split())
    if len(text) <= MAX_QUERY:
        return text
    half = MAX_QUERY // 2
    return f"{text[:half]} {text[-half:]}"
