"""Citations of an answer: which span is supported by which place of which file, or by which page of the web."""

from collections.abc import Sequence

from onward.core.items import Citation, Cited, UrlCitation
from onward.ports import cite, hosted, passages


def as_ranked(found: Sequence[hosted.Passage]) -> list[passages.Passage]:
    """Return the passages as the citer takes them: text and offsets count, keys do not."""
    return [
        passages.Passage(
            store=0,
            file=0,
            document=0,
            ordinal=number,
            text=passage.text,
            start=passage.start,
            end=passage.end,
            score=passage.score,
            page=passage.page,
        )
        for number, passage in enumerate(found)
    ]


class MatchingCiter:
    """Implements `hosted.Citer` over a citer that knows only texts."""

    def __init__(self, citer: cite.Citer, found: Sequence[hosted.Passage]) -> None:
        self._citer = citer
        self._passages = found

    def feed(self, text: str) -> Sequence[Cited]:
        """Take more of the answer and return the citations decided by it."""
        return [self._named(citation) for citation in self._citer.feed(text)]

    def finish(self) -> Sequence[Cited]:
        """Return the citations of what is left."""
        return [self._named(citation) for citation in self._citer.finish()]

    def _named(self, citation: cite.Citation) -> Cited:
        passage = self._passages[citation.passage]
        if passage.url is not None:
            return UrlCitation(passage.url, passage.filename, citation.start, citation.end)
        return Citation(
            file_id=passage.file_id,
            filename=passage.filename,
            index=citation.index,
            start_index=citation.start,
            end_index=citation.end,
            quote=passage.text[citation.quote_start : citation.quote_end],
            page=passage.page,
            document_start=passage.start + citation.quote_start,
            document_end=passage.start + citation.quote_end,
        )
