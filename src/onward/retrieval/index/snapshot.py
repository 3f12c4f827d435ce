"""A store as one process sees it at a generation: its links, its segments, and which rows are visible.

Refreshing reads only what changed. It knows SQL by name and no ranking.
"""

# apsw's types name a buffer that the checker does not know.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from onward.ports.filters import Attributes, Filter
from onward.retrieval.index.database import Row, Session
from onward.retrieval.index.masks import matches
from onward.retrieval.index.segment import Bools, Entry, Segment, build_segment, merge_segments

MERGE_RATIO = 2
DEAD_SHARE = 0.3
DEAD_FLOOR = 2000
FILTER_CACHE = 16
_attributes = msgspec.json.Decoder(dict[str, str | float | bool])


class Space(NamedTuple):
    """The vector space of a search."""

    model: str
    dimensions: int


class Link(NamedTuple):
    """What a file of the store shows."""

    document: int
    attributes: Attributes


class Snapshot:
    """The store at one generation; never changed after it was made, so searches need no lock."""

    def __init__(
        self, space: Space, generation: int, epoch: int, links: dict[int, Link], segments: tuple[Segment, ...]
    ) -> None:
        self.space = space
        self.generation = generation
        self.epoch = epoch
        self.links = links
        self.segments = segments
        self.files: dict[int, list[int]] = {}
        for file, link in links.items():
            self.files.setdefault(link.document, []).append(file)
        self.loaded = {int(document) for segment in segments for document in segment.documents}
        self._live: list[Bools] | None = None
        self._filtered: OrderedDict[Filter, list[Bools]] = OrderedDict()

    @property
    def rows(self) -> int:
        """Return how many rows are in memory, visible or not."""
        return sum(len(segment) for segment in self.segments)

    @property
    def nbytes(self) -> int:
        """Return about how much memory this takes."""
        return sum(segment.nbytes for segment in self.segments) + 500 * len(self.links)

    def masks(self, filter: Filter | None) -> list[Bools]:
        """Return for each segment which rows are visible and pass ``filter``."""
        if filter is None:
            if self._live is None:
                self._live = self._mask(self.documents())
            return self._live
        found = self._filtered.get(filter)
        if found is None:
            passing = {link.document for link in self.links.values() if matches(filter, link.attributes)}
            found = self._mask(np.fromiter(passing, np.int64, len(passing)))
            self._filtered[filter] = found
            if len(self._filtered) > FILTER_CACHE:
                self._filtered.popitem(last=False)
        return found

    def documents(self) -> npt.NDArray[np.int64]:
        """Return the keys of all visible documents."""
        return np.fromiter(self.files, np.int64, len(self.files))

    def file_of(self, document: int, filter: Filter | None) -> int | None:
        """Return the file that shows a document (the one added first) and passes ``filter``."""
        files = sorted(self.files.get(document, ()))
        return next((file for file in files if filter is None or matches(filter, self.links[file].attributes)), None)

    def _mask(self, documents: npt.NDArray[np.int64]) -> list[Bools]:
        return [segment.mask(documents) for segment in self.segments]


def refresh(session: Session, project: int, store: int, space: Space, old: Snapshot | None) -> Snapshot:
    """Return the store as it is now, from ``old`` where that is possible; runs on a reader thread."""
    session.connection.execute("BEGIN")
    try:
        row = session.row("links.store", project=project, store=store)
        generation, epoch = cast("tuple[int, int]", row[:2]) if row else (0, 0)
        if old is not None and (old.generation, old.epoch) == (generation, epoch):
            return old
        if old is None or old.epoch != epoch:
            links = _read_links(session.rows("links.all", project=project, store=store), {})
        else:
            changed = session.rows("links.since", project=project, store=store, generation=old.generation)
            links = _read_links(changed, dict(old.links))
        segments = _segments(session, project, space, links, old)
    finally:
        session.connection.execute("COMMIT")
    return Snapshot(space, generation, epoch, links, segments)


def _read_links(rows: list[Row], links: dict[int, Link]) -> dict[int, Link]:
    for row in rows:
        file, document, attributes = cast("tuple[int, int | None, str]", row)
        if document is None:
            links.pop(file, None)
        else:
            links[file] = Link(document, _attributes.decode(attributes))
    return links


def _segments(
    session: Session, project: int, space: Space, links: dict[int, Link], old: Snapshot | None
) -> tuple[Segment, ...]:
    segments = list(old.segments) if old else []
    loaded: set[int] = old.loaded if old else set()
    wanted = {link.document for link in links.values()}
    entries: list[Entry] = []
    for document in sorted(wanted - loaded):
        entries += _read_entries(session, project, document, space)
    if entries:
        segments.append(build_segment(entries, dimensions=space.dimensions))
    return _compact(segments, np.fromiter(wanted, np.int64, len(wanted)))


def _compact(segments: list[Segment], live: npt.NDArray[np.int64]) -> tuple[Segment, ...]:
    """Merge the last segments while they are of like size, and everything when too many rows are dead."""
    rows = sum(len(segment) for segment in segments)
    dead = rows - sum(int(segment.mask(live).sum()) for segment in segments)
    if dead > max(DEAD_FLOOR, DEAD_SHARE * rows):
        return (merge_segments(segments, live),)
    while len(segments) > 1 and len(segments[-2]) < MERGE_RATIO * len(segments[-1]):
        last, before = segments.pop(), segments.pop()
        segments.append(merge_segments([before, last], live))
    return tuple(segments)


def _read_entries(session: Session, project: int, document: int, space: Space) -> list[Entry]:
    row = session.row("documents.models", project=project, document=document)
    same = row is not None and row[0] == space.model
    rows = session.rows("documents.entries", project=project, document=document)
    return [
        Entry(
            document,
            cast("int", ordinal),
            cast("int", first),
            cast("int", last),
            cast("bytes", vectors) if same else b"",
            cast("bytes", terms),
        )
        for ordinal, first, last, vectors, terms in rows
    ]
