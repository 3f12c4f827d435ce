"""Text to windows and chunks: where a document is cut for embedding and for search.

Windows do not overlap, so that each token is embedded once; a chunk is a run of windows, is found by the nearest of
them, and overlaps the next chunk by sharing some. It knows tokens as a counting function, no model and no index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from onward.ports.parse import ChunkSpan, Document, ParseError, Prepared, Recipe, Window
from onward.retrieval.sentences import HEADING, PARAGRAPH, Atom, split_atoms
from onward.retrieval.terms import pack_terms

WINDOW_TOKENS = 220
"""o200k tokens that nearly always fit the 254 word pieces of one run of the model."""
MIN_WINDOW = 16
MAX_TOKENS = 5_000_000
MIN_CHUNK, MAX_CHUNK = 100, 4096

CountTokens = Callable[[str], int]


def check_recipe(recipe: Recipe) -> None:
    """Raise ValueError where a recipe is outside the contract's limits."""
    if not MIN_CHUNK <= recipe.max_tokens <= MAX_CHUNK:
        raise ValueError(f"max_chunk_size_tokens must be between {MIN_CHUNK} and {MAX_CHUNK}.")
    if not 0 <= recipe.overlap_tokens <= recipe.max_tokens // 2:
        raise ValueError("chunk_overlap_tokens must be between 0 and half of max_chunk_size_tokens.")


def window_limit(recipe: Recipe) -> int:
    """Return the tokens of a window, so that windows fill both a chunk's step and its overlap."""
    step = recipe.max_tokens - recipe.overlap_tokens
    limit = step // -(-step // WINDOW_TOKENS)
    return max(MIN_WINDOW, min(limit, recipe.overlap_tokens or limit))


def prepare(document: Document, recipe: Recipe, count: CountTokens, *, title: str = "") -> Prepared:
    """Cut a document, whose ``title`` counts as words of each chunk.

    Raises ParseError over 5,000,000 tokens and ValueError for a recipe outside its limits.
    """
    check_recipe(recipe)
    limit = window_limit(recipe)
    sized = list(_sized_atoms(document, count, limit))
    tokens = sum(size for _, size in sized)
    if tokens > MAX_TOKENS:
        raise ParseError("invalid_file", f"The file has {tokens} tokens; at most {MAX_TOKENS} can be searched.")
    windows, strengths = _pack(sized, limit)
    chunks = list(_group(document, windows, strengths, recipe, title))
    return Prepared(document, windows, chunks, tokens)


def _sized_atoms(document: Document, count: CountTokens, limit: int) -> Iterator[tuple[Atom, int]]:
    headings = {section.start for section in document.sections}
    for atom in split_atoms(document.text):
        if atom.start in headings:
            atom = atom._replace(strength=HEADING)
        yield from _fit(document.text, atom, count, limit)


def _fit(text: str, atom: Atom, count: CountTokens, limit: int) -> Iterator[tuple[Atom, int]]:
    """Halve an atom at a line end or a blank near its middle until each part fits a window."""
    size = count(text[atom.start : atom.end])
    if size <= limit or atom.end - atom.start < 2:
        yield atom, size
        return
    parts = -(-size // limit)
    if parts > 8:
        cut = atom.start + (atom.end - atom.start) * (parts // 2) // parts
    else:
        cut = atom.start + (atom.end - atom.start) // parts
    reach = min((atom.end - atom.start) // 8, 200)
    places = (text.rfind(mark, cut - reach, cut) for mark in ("\n", " ", ","))
    blank = next((place for place in places if place > 0), cut - 1)
    cut = max(atom.start + 1, blank + 1)
    yield from _fit(text, Atom(atom.start, cut, atom.strength), count, limit)
    yield from _fit(text, Atom(cut, atom.end, 0), count, limit)


def _pack(sized: Sequence[tuple[Atom, int]], limit: int) -> tuple[list[Window], list[int]]:
    """Fill windows with atoms, closing early before headings and paragraphs; returns windows and their boundaries."""
    windows: list[Window] = []
    strengths: list[int] = []
    start = end = held = strength = 0
    for atom, size in sized:
        early = {HEADING: limit // 6, PARAGRAPH: limit // 2}.get(atom.strength, limit)
        if held and (held + size > limit or held >= early):
            windows.append(Window(start, end, held))
            strengths.append(strength)
            held = 0
        if not held:
            start, strength = atom.start, atom.strength
        held += size
        end = atom.end
    if end > start and held:
        windows.append(Window(start, end, held))
        strengths.append(strength)
    return windows, strengths


def _group(
    document: Document, windows: Sequence[Window], strengths: Sequence[int], recipe: Recipe, title: str
) -> Iterator[ChunkSpan]:
    pages = [page.start for page in document.pages]
    sections = [section.start for section in document.sections]
    first = ordinal = 0
    while first < len(windows):
        last = _fill(windows, strengths, first, recipe.max_tokens)
        start, end = windows[first].start, windows[last - 1].end
        page = bisect_right(pages, start) - 1
        section = bisect_right(sections, start) - 1
        heading = document.sections[section].title if section >= 0 else ""
        yield ChunkSpan(
            ordinal=ordinal,
            start=start,
            end=end,
            tokens=sum(window.tokens for window in windows[first:last]),
            first_window=first,
            last_window=last,
            page=document.pages[page].page if page >= 0 else None,
            heading=heading,
            terms=pack_terms(document.text[start:end], context=f"{title} {heading}"),
        )
        if last == len(windows):
            return
        first = _step_back(windows, strengths, first, last, recipe.overlap_tokens)
        ordinal += 1


def _fill(windows: Sequence[Window], strengths: Sequence[int], first: int, limit: int) -> int:
    """Return where the chunk that begins at window ``first`` ends: full, or before a heading when half full."""
    held, last = windows[first].tokens, first + 1
    while last < len(windows) and held + windows[last].tokens <= limit:
        if strengths[last] == HEADING and held >= limit * 3 // 4:
            break
        held += windows[last].tokens
        last += 1
    return last


def _step_back(windows: Sequence[Window], strengths: Sequence[int], first: int, last: int, overlap: int) -> int:
    """Return the next chunk's first window: back by at most ``overlap`` tokens, at a heading where one is in reach."""
    held, start = 0, last
    while start - 1 > first and held + windows[start - 1].tokens <= overlap:
        start -= 1
        held += windows[start].tokens
    return next((w for w in range(start, last) if strengths[w] == HEADING and w > start and _near(w, start)), start)


def _near(window: int, start: int) -> bool:
    return window - start <= 1
