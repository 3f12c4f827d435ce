"""How far a query is in the language that the packaged embedder understands: English, as far as words can tell.

A rough guess from script and function words is enough: it sets the weight of meaning against words in the rank.
"""

from __future__ import annotations

import re
from typing import Literal

from onward.retrieval.words import words_of

Tongue = Literal["english", "latin", "other"]
"""English or undecided; another language in Latin letters; another script."""

_WORD = re.compile(r"[^\W\d_]+")
_OTHER_SCRIPT = re.compile(r"[\u0250-\u1dff\u1f00-\u1fff\u2c00-\ud7ff\uf900-\ufdff\ufe70-\ufeff]")
_ACCENTED = re.compile(r"[à-öø-ÿāăąćčďđēęěğīıłńňōőœřśşšťūůűźżžßơưạ-ỹ]")

_ENGLISH = words_of(
    """
    the of and to in is are was were be what who how when where which why does do did for on with that by from this
    can you your our we it at as or not an have has had will would should about my i if there any between
    """
)
_FOREIGN = words_of(
    """
    der die das und ist nicht wie wer wann wo welche welcher warum ein eine für von mit auf den dem zu im sich sind
    wird werden bei nach kann le la les des du et est une un pour dans qui que quel quelle comment où quand pourquoi
    sont avec sur au aux pas el los las y es en qué que cómo cuándo dónde por para con del al una se son cuál il lo
    gli di che è come quando dove perché per della dei nel con sono o os e como não quem qual onde em uma do da dos
    das het de een wat wie hoe waar wanneer van voor niet met zijn och är vad hur när var det som på jest nie co jak
    kiedy gdzie czy w z na i się bir ve ne için nasıl nerede mi là gì của và không
    """
).difference(_ENGLISH)
OTHER_SHARE = 0.3


def guess_tongue(text: str) -> Tongue:
    """Return which of the three a text is in."""
    text = text.lower()
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    if letters and len(_OTHER_SCRIPT.findall(text)) > OTHER_SHARE * letters:
        return "other"
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    foreign += len(_ACCENTED.findall(text)) > 0 and english == 0
    return "latin" if foreign > english else "english"
