"""Measure search on question sets in the SQuAD format: each question's own paragraph is its one relevant document.

    python scripts/evaluate_retrieval.py --data xquad.en.json --data xquad.zh.json

Every paragraph is indexed as a file of its own through the real embedder and index. Printed for meaning alone, words
alone and their fusion: nDCG@10, recall@10, MRR and the time of a search without embedding the query.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

import msgspec

from onward.ports.embed import Vectors
from onward.ports.passages import Chunk, DocumentKey, SearchQuery, Weights
from onward.retrieval.embed.local import LocalEmbedder
from onward.retrieval.index.sqlite import SqlitePassageIndex

PROJECT, STORE, TOP = 1, 1, 10
LEGS = {"meaning": Weights(1.0, 0.0), "words": Weights(0.0, 1.0), "fusion": None}


class Question(msgspec.Struct):
    """A question of the set; its answers are not needed."""

    question: str


class Paragraph(msgspec.Struct):
    """A text with its questions."""

    context: str
    qas: list[Question]


class Article(msgspec.Struct):
    """Paragraphs on one subject."""

    paragraphs: list[Paragraph]


class Dataset(msgspec.Struct):
    """A file in the SQuAD format."""

    data: list[Article]


async def fill(index: SqlitePassageIndex, embedder: LocalEmbedder, texts: Sequence[str]) -> float:
    """Index each text as a file whose key is its position; returns embedded texts a second."""
    start = time.perf_counter()
    vectors = await embedder.embed(texts, lane="ingest")
    spent = time.perf_counter() - start
    for position, text in enumerate(texts):
        key = DocumentKey(sha256=str(position), type="txt", recipe="whole", model=embedder.model, title="")
        state = await index.begin(PROJECT, key)
        row = Vectors(1, vectors.dimensions, vectors.row(position))
        await index.put_chunks(PROJECT, state.document, [Chunk(ordinal=0, start=0, end=len(text), text=text)], row)
        await index.finish(PROJECT, state.document, chunks=1)
        await index.link(PROJECT, STORE, position, state.document)
    return len(texts) / spent


async def measure(
    index: SqlitePassageIndex, embedder: LocalEmbedder, questions: Sequence[tuple[str, int]], weights: Weights | None
) -> str:
    """Ask every question and return a line of figures."""
    vectors = await embedder.embed([question for question, _ in questions], lane="query")
    ranks: list[int | None] = []
    times: list[float] = []
    for position, (question, gold) in enumerate(questions):
        row = Vectors(1, vectors.dimensions, vectors.row(position))
        query = SearchQuery(texts=[question], vectors=row, model=embedder.model, limit=TOP, weights=weights)
        start = time.perf_counter()
        passages = await index.search(PROJECT, [STORE], query)
        times.append(time.perf_counter() - start)
        ranks.append(next((rank for rank, passage in enumerate(passages) if passage.file == gold), None))
    ndcg = fmean(0.0 if rank is None else 1 / math.log2(rank + 2) for rank in ranks)
    recall = fmean(rank is not None for rank in ranks)
    mrr = fmean(0.0 if rank is None else 1 / (rank + 1) for rank in ranks)
    return f"nDCG@10 {ndcg:.4f}  recall@10 {recall:.4f}  MRR {mrr:.4f}  search p50 {1000 * median(times):.2f} ms"


async def evaluate(path: Path, raw: bytes) -> None:
    """Print the figures of one set."""
    paragraphs = [p for article in msgspec.json.decode(raw, type=Dataset).data for p in article.paragraphs]
    questions = [(qa.question, number) for number, paragraph in enumerate(paragraphs) for qa in paragraph.qas]
    with tempfile.TemporaryDirectory() as folder:
        index, embedder = SqlitePassageIndex(Path(folder)), LocalEmbedder(Path(folder), linger=0.1)
        try:
            rate = await fill(index, embedder, [paragraph.context for paragraph in paragraphs])
            print(
                f"{path.name}: {len(paragraphs)} paragraphs ({rate:.1f} embedded a second), {len(questions)} questions"
            )
            for name, weights in LEGS.items():
                print(f"  {name:8} {await measure(index, embedder, questions, weights)}")
        finally:
            await index.aclose()
            await embedder.aclose()


def main() -> None:
    """Read the arguments and evaluate each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="a set in the SQuAD format")
    for path in parser.parse_args().data:
        asyncio.run(evaluate(path, path.read_bytes()))


if __name__ == "__main__":
    main()
