"""A block of a store's chunks in memory: an int8 matrix and an inverted index, both as flat arrays.

It never changes: refreshing builds new ones and merges small ones. It knows no SQL.
"""

# simsimd and numpy's structured loads have loose types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simsimd

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

K1, B = 1.2, 0.75
_HEAD = struct.Struct("<II")
_ROW_BITS, _FREQUENCY_BITS = 24, 8
MAX_ROWS = 1 << _ROW_BITS


class Entry(NamedTuple):
    """A chunk as stored: ``vectors`` are those of its windows that the entry before does not cover.

    They count as zero where they are of another length: another model made them.
    """

    document: int
    ordinal: int
    first_window: int
    last_window: int
    vectors: bytes
    terms: bytes


class Segment:
    """Chunks as rows: ``slots`` says which of ``documents`` a row is of, ``bounds`` which of ``vectors`` it covers.

    ``bounds`` is flat: first and last + 1 of each row in turn.
    """

    __slots__ = (
        "bounds",
        "documents",
        "frequencies",
        "inverses",
        "keys",
        "length",
        "lengths",
        "nbytes",
        "ordinals",
        "rows",
        "slots",
        "starts",
        "vectors",
    )

    def __init__(
        self,
        vectors: npt.NDArray[np.int8],
        bounds: npt.NDArray[np.int64],
        row_documents: npt.NDArray[np.int64],
        ordinals: npt.NDArray[np.int32],
        lengths: Floats,
        postings: npt.NDArray[np.uint64],
    ) -> None:
        self.vectors = vectors
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.int32)).astype(np.float32)
        self.inverses = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        self.bounds = bounds
        self.ordinals = ordinals
        self.lengths = lengths
        self.documents, self.slots = np.unique(row_documents, return_inverse=True)
        postings.sort()
        self.frequencies = postings.astype(np.uint8)
        postings >>= np.uint64(_FREQUENCY_BITS)
        self.rows = postings.astype(np.uint32) & np.uint32(MAX_ROWS - 1)
        postings >>= np.uint64(_ROW_BITS)
        first = np.flatnonzero(np.diff(postings, prepend=np.uint64(1) << np.uint64(63)))
        self.keys = postings[first].astype(np.uint32)
        self.starts = np.append(first, len(postings)).astype(np.int64)
        self.length = float(lengths.sum())
        arrays = (
            vectors,
            self.inverses,
            bounds,
            ordinals,
            lengths,
            self.slots,
            self.rows,
            self.frequencies,
            self.keys,
            self.starts,
        )
        self.nbytes = sum(array.nbytes for array in arrays)

    def __len__(self) -> int:
        return len(self.ordinals)

    def frequency(self, key: int) -> int:
        """Return in how many rows a term occurs."""
        first, last = self._span(key)
        return last - first

    def add_bm25(self, scores: Floats, key: int, *, weight: float, mean_length: float) -> None:
        """Add a term's BM25 contribution, with ``weight`` as its idf, to the rows that have it."""
        first, last = self._span(key)
        if first == last:
            return
        rows = self.rows[first:last]
        frequency = self.frequencies[first:last].astype(np.float32)
        norm = K1 * (1 - B + B * self.lengths[rows] / mean_length)
        scores[rows] += weight * frequency * (K1 + 1) / (frequency + norm)

    def cosines(self, query: npt.NDArray[np.int8]) -> Floats:
        """Return the cosine of every row's nearest window to a query of the same space; 0 for rows of another one."""
        if query.shape[0] != self.vectors.shape[1]:
            return np.zeros(len(self), np.float32)
        products = np.asarray(simsimd.cdist(query[None, :], self.vectors, metric="dot")).reshape(-1)
        length = float(np.sqrt(np.square(query, dtype=np.int32).sum())) or 1.0
        cosines = np.full(len(self.vectors) + 1, -1.0, np.float32)
        np.multiply(products, self.inverses / length, out=cosines[:-1], casting="same_kind")
        return np.maximum.reduceat(cosines, self.bounds)[::2]

    def mask(self, documents: npt.NDArray[np.int64]) -> Bools:
        """Return which rows belong to one of ``documents``."""
        return np.isin(self.documents, documents)[self.slots]

    def window_mask(self, rows: Bools) -> Bools:
        """Return which windows the given rows cover."""
        changes = np.zeros(len(self.vectors) + 1, np.int64)
        np.add.at(changes, self.bounds[::2][rows], 1)
        np.add.at(changes, self.bounds[1::2][rows], -1)
        return np.cumsum(changes)[:-1] > 0

    def postings(self, *, offset: int, keep: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.uint64]:
        """Return the postings packed again, rows shifted by ``offset``, or renumbered by ``keep`` (-1 drops a row)."""
        hashes = np.repeat(self.keys, np.diff(self.starts)).astype(np.uint64)
        rows = self.rows.astype(np.int64) if keep is None else keep[self.rows]
        packed = pack_postings(hashes, rows + offset, self.frequencies)
        return packed if keep is None else packed[rows >= 0]

    def _span(self, key: int) -> tuple[int, int]:
        at = int(np.searchsorted(self.keys, np.uint32(key)))
        if at == len(self.keys) or int(self.keys[at]) != key:
            return 0, 0
        return int(self.starts[at]), int(self.starts[at + 1])


def pack_postings(
    hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64], frequencies: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint64]:
    """Pack (hash, row, frequency) into 64 bits each, so that one plain sort orders them."""
    shifted = (hashes << np.uint64(_ROW_BITS)) | rows.astype(np.uint64)
    return (shifted << np.uint64(_FREQUENCY_BITS)) | frequencies


def build_segment(entries: Sequence[Entry], *, dimensions: int) -> Segment:
    """Return a segment of stored entries; raises ValueError beyond 16,777,216 rows."""
    if len(entries) > MAX_ROWS:
        raise ValueError(f"a segment holds at most {MAX_ROWS} rows")
    vectors, bounds = _gather_windows(entries, dimensions)
    lengths = np.zeros(len(entries), np.float32)
    counts = np.zeros(len(entries), np.int64)
    hashes: list[bytes] = []
    frequencies: list[bytes] = []
    for row, entry in enumerate(entries):
        count, length = _HEAD.unpack_from(entry.terms)
        counts[row], lengths[row] = count, length
        body = _HEAD.size + 4 * count
        hashes.append(entry.terms[_HEAD.size : body])
        frequencies.append(entry.terms[body:])
    keys = np.frombuffer(b"".join(hashes), "<u4").astype(np.uint64)
    rows = np.repeat(np.arange(len(entries), dtype=np.int64), counts)
    postings = pack_postings(keys, rows, np.frombuffer(b"".join(frequencies), np.uint8))
    documents = np.array([entry.document for entry in entries], np.int64)
    ordinals = np.array([entry.ordinal for entry in entries], np.int32)
    return Segment(vectors, bounds, documents, ordinals, np.maximum(lengths, 1), postings)


def _gather_windows(entries: Sequence[Entry], dimensions: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Return the windows of all entries as a matrix, and each entry's bounds in it."""
    parts: list[bytes] = []
    bounds = np.zeros(2 * len(entries), np.int64)
    base = held = covered = 0
    document: int | None = None
    for row, entry in enumerate(entries):
        if entry.document != document:
            document, base, covered = entry.document, held - entry.first_window, entry.first_window
        fresh = entry.last_window - max(entry.first_window, covered)
        size = fresh * dimensions
        parts.append(entry.vectors if len(entry.vectors) == size else bytes(size))
        held += fresh
        covered = entry.last_window
        bounds[2 * row], bounds[2 * row + 1] = base + entry.first_window, base + entry.last_window
    return np.frombuffer(b"".join(parts), np.int8).reshape(held, dimensions), bounds


def merge_segments(segments: Sequence[Segment], live: npt.NDArray[np.int64]) -> Segment:
    """Return one segment of the rows whose documents are ``live``."""
    masks = [segment.mask(live) for segment in segments]
    postings: list[npt.NDArray[np.uint64]] = []
    vectors: list[npt.NDArray[np.int8]] = []
    bounds: list[npt.NDArray[np.int64]] = []
    rows = windows = 0
    for segment, mask in zip(segments, masks, strict=True):
        keep = np.where(mask, np.cumsum(mask) - 1, -1)
        postings.append(segment.postings(offset=rows, keep=keep))
        kept = segment.window_mask(mask)
        moved = np.concatenate([[0], np.cumsum(kept)]) + windows
        vectors.append(segment.vectors[kept])
        bounds.append(moved[segment.bounds[np.repeat(mask, 2)]])
        rows += int(mask.sum())
        windows += int(kept.sum())
    pairs = list(zip(segments, masks, strict=True))
    return Segment(
        np.concatenate(vectors),
        np.concatenate(bounds),
        np.concatenate([segment.documents[segment.slots][mask] for segment, mask in pairs]),
        np.concatenate([segment.ordinals[mask] for segment, mask in pairs]),
        np.concatenate([segment.lengths[mask] for segment, mask in pairs]),
        np.concatenate(postings),
    )
