"""Ingestion to its end, whatever happens meanwhile: death of the process, deletion, faults, a second worker."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from shelf import Shelf, opened

from onward.core.errors import NotFoundError
from onward.ports.embed import Embedder, EmbedError, Lane, Vectors
from onward.ports.library import Ranking
from onward.ports.vector_stores import Attach, FileCounts, NewStore
from onward.retrieval import ingest
from onward.retrieval.embed.local import LocalEmbedder


async def found(shelf: Shelf, store_id: str, query: str) -> list[str]:
    hits = await shelf.search.search([store_id], [query], ranking=Ranking(limit=3))
    return [hit.text for hit in hits]


def test_files_become_searchable_and_stay_so_without_the_worker(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf:
            store, files = await shelf.new_store("Refunds are given within thirty days.", "Whales are mammals.")
            async with shelf.working():
                for file in files:
                    settled = await shelf.settled(store.id, file.id)
                    assert settled.status == "completed" and settled.usage_bytes > 0 and settled.fault is None
                await shelf.quiet()
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf:
            assert (await found(shelf, store.id, "how many days for a refund?"))[0].startswith("Refunds")
            assert list(await shelf.stores.text(store.id, files[1].id)) == ["Whales are mammals."]
            with pytest.raises(NotFoundError, match="Vector store with id 'vs_other' not found"):
                await found(shelf, "vs_other", "whales")

    asyncio.run(main())


def test_each_fault_has_a_code_and_a_reason(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf, shelf.working():
            store = await shelf.stores.create(NewStore())
            for name, data, code in (
                ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64), "unsupported_file"),
                ("b.pdf", b"%PDF-1.7 but nothing after it", "invalid_file"),
                ("c.docx", b"PK\x03\x04 cut", "invalid_file"),
            ):
                file = await shelf.upload(data, name)
                await shelf.stores.attach(store.id, Attach(file_id=file.id))
                settled = await shelf.settled(store.id, file.id)
                assert settled.status == "failed" and settled.fault is not None
                assert settled.fault.code == code and len(settled.fault.message) > 10
            assert (await shelf.stores.get(store.id)).counts == FileCounts(failed=3)

    asyncio.run(main())


class Counting(Embedder):
    """An embedder in front of the real one that counts texts, and can be made to fail or to wait."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.texts = 0
        self.faults: list[EmbedError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    @property
    def model(self) -> str:
        return self.inner.model

    @property
    def dimensions(self) -> int:
        return self.inner.dimensions

    async def embed(self, texts: Sequence[str], *, lane: Lane) -> Vectors:
        self.reached.set()
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop()
        self.texts += len(texts)
        return await self.inner.embed(texts, lane=lane)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_the_same_content_is_linked_and_not_embedded_again(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        embedder = Counting(LocalEmbedder(embedder_dir))
        async with opened(tmp_path, embedder=embedder) as shelf, shelf.working():
            store, (file,) = await shelf.new_store("The same words.")
            await shelf.settled(store.id, file.id)
            assert embedder.texts == 1
            copy = await shelf.upload("The same words.", "note0.txt")
            other = await shelf.stores.create(NewStore(), [Attach(file_id=copy.id)])
            await shelf.settled(other.id, copy.id)
            assert embedder.texts == 1
            assert await found(shelf, other.id, "words") == ["The same words."]
            await shelf.files.delete(file.id)
            assert await found(shelf, store.id, "words") == []
            assert await found(shelf, other.id, "words") == ["The same words."]

    asyncio.run(main())


def test_a_passing_fault_is_retried_and_a_lasting_one_is_told(
    tmp_path: Path, embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        embedder = Counting(LocalEmbedder(embedder_dir))
        embedder.faults = [EmbedError("busy")]
        async with opened(tmp_path, embedder=embedder) as shelf, shelf.working():
            store, (file,) = await shelf.new_store("Try again.")
            assert (await shelf.settled(store.id, file.id)).status == "completed"
            embedder.faults = [EmbedError("no such model", retryable=False)]
            bad = await shelf.upload("Other text.")
            await shelf.stores.attach(store.id, Attach(file_id=bad.id))
            settled = await shelf.settled(store.id, bad.id)
            assert settled.fault is not None and settled.fault.code == "server_error"
            assert "no such model" in settled.fault.message

    monkeypatch.setattr(ingest, "MAX_BACKOFF_SECONDS", 0.05)
    asyncio.run(main())


@pytest.mark.parametrize("what", ["detach", "delete_file", "delete_store", "reattach"])
def test_deleting_during_ingestion_leaves_nothing_to_find(what: str, tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        embedder = Counting(LocalEmbedder(embedder_dir))
        embedder.gate.clear()
        async with opened(tmp_path, embedder=embedder) as shelf, shelf.working():
            store, (file,) = await shelf.new_store("Fleeting words.")
            await embedder.reached.wait()
            if what == "delete_file":
                await shelf.files.delete(file.id)
            elif what == "delete_store":
                await shelf.stores.delete(store.id)
            else:
                await shelf.stores.detach(store.id, file.id)
            if what == "reattach":
                await shelf.stores.attach(store.id, Attach(file_id=file.id, attributes={"second": True}))
            embedder.gate.set()
            await shelf.quiet()
            links = await shelf.index.chunk_count(shelf.project, store.key)
            assert links == (1 if what == "reattach" else 0)
            if what == "reattach":
                hits = await shelf.search.search([store.id], ["words"], ranking=Ranking())
                assert [hit.attributes for hit in hits] == [{"second": True}]

    asyncio.run(main())


def test_a_cancelled_batch_is_not_embedded(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        embedder = Counting(LocalEmbedder(embedder_dir))
        embedder.gate.clear()
        async with opened(tmp_path, embedder=embedder) as shelf, shelf.working():
            store = await shelf.stores.create(NewStore())
            files = [await shelf.upload(f"Text number {number}.") for number in range(9)]
            batch = await shelf.stores.attach_batch(store.id, [Attach(file_id=file.id) for file in files])
            await embedder.reached.wait()
            await shelf.stores.cancel_batch(store.id, batch.id)
            embedder.gate.set()
            await shelf.quiet()
            assert (await shelf.stores.batch(store.id, batch.id)).counts == FileCounts(cancelled=9)
            assert await found(shelf, store.id, "text number") == []
            assert embedder.texts < 9

    asyncio.run(main())


def test_attributes_changed_during_ingestion_are_those_that_are_filtered(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        embedder = Counting(LocalEmbedder(embedder_dir))
        embedder.gate.clear()
        async with opened(tmp_path, embedder=embedder) as shelf, shelf.working():
            store, (file,) = await shelf.new_store("Labelled words.")
            await embedder.reached.wait()
            await shelf.stores.set_attributes(store.id, file.id, {"label": "new", "n": 5})
            embedder.gate.set()
            assert (await shelf.settled(store.id, file.id)).status == "completed"
            hits = await shelf.search.search([store.id], ["words"], ranking=Ranking())
            assert [hit.attributes for hit in hits] == [{"label": "new", "n": 5.0}]
            passages = await shelf.library.search(shelf.project, [store.key], ["words"])
            assert [passage.attributes for passage in passages] == [{"label": "new", "n": 5.0}]

    asyncio.run(main())


def test_two_workers_share_the_work_and_do_it_once(tmp_path: Path, embedder_dir: Path) -> None:
    async def main() -> None:
        one, two = Counting(LocalEmbedder(embedder_dir)), Counting(LocalEmbedder(embedder_dir))
        async with opened(tmp_path, embedder=one) as first, opened(tmp_path, embedder=two) as second:
            store, files = await first.new_store(*(f"Text number {number}." for number in range(24)))
            async with first.working("first"), second.working("second"):
                for file in files:
                    assert (await first.settled(store.id, file.id)).status == "completed"
                await first.quiet()
            assert one.texts + two.texts == 24 and one.texts and two.texts
            assert (await second.stores.get(store.id)).counts == FileCounts(completed=24)

    asyncio.run(main())


KILLED = """
import asyncio, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[3])
from shelf import opened

async def main():
    async with opened(Path(sys.argv[1]), embedder_dir=Path(sys.argv[2])) as shelf, shelf.working("killed"):
        text = " ".join(f"Sentence {n} tells of the topic {n % 7} and of nothing else." for n in range(500))
        store, files = await shelf.new_store(text, *(f"Small text {n}." for n in range(6)))
        print(store.id, *(file.id for file in files), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_a_killed_worker_leaves_work_that_the_next_one_finishes(
    delay: float, tmp_path: Path, embedder_dir: Path
) -> None:
    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(tmp_path), str(embedder_dir), str(Path(__file__).parent),
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        store_id, *files = (await child.stdout.readline()).decode().split()
        await asyncio.sleep(delay)
        child.send_signal(signal.SIGKILL)
        await child.wait()
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf, shelf.working("next"):
            for file in files:
                assert (await shelf.settled(store_id, file)).status == "completed"
            assert (await shelf.stores.get(store_id)).counts == FileCounts(completed=7)
            assert any("topic 3" in text for text in await found(shelf, store_id, "the topic 3"))
            assert (await found(shelf, store_id, "small text 4"))[0] == "Small text 4."

    asyncio.run(main())


def test_a_full_disk_is_told_in_a_line_and_the_file_is_indexed_when_there_is_space(
    tmp_path: Path, embedder_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(tmp_path, embedder_dir=embedder_dir) as shelf:
            faults, index = [OSError(ENOSPC, "No space left on device")], shelf.library.ingest

            async def fill(*arguments: Any, **options: Any) -> Any:
                if faults:
                    raise faults.pop()
                return await index(*arguments, **options)

            monkeypatch.setattr(shelf.library, "ingest", fill)
            store, (file,) = await shelf.new_store("Whales are mammals.")
            async with shelf.working():
                assert (await shelf.settled(store.id, file.id)).status == "completed"

    asyncio.run(main())
    told = [record for record in caplog.records if record.name == "onward.ingest"]
    assert [(record.levelname, record.exc_info) for record in told] == [("WARNING", None)]
    assert "no space left" in told[0].getMessage()
