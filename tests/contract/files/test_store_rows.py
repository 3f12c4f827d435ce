"""Vector stores as rows: counts, pages, expiry, attaching again, and errors in the words that clients match on."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from shelf import opened

from onward.core import clock
from onward.core.errors import NotFoundError, RequestError
from onward.ports.parse import Recipe
from onward.ports.runs import Page
from onward.ports.vector_stores import Attach, Fault, FileCounts, NewStore, StoreChange

DAY = 86_400


def test_counts_follow_every_change_of_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, files = await shelf.new_store("a", "b", "c", "d")
            assert store.counts == FileCounts(in_progress=4)
            items = await shelf.work.claim(owner="w", seconds=60, limit=10)
            assert [item.kind for item in items] == ["ingest"] * 4
            assert await shelf.ledger.complete(items[0], attributes={}, usage_bytes=70)
            assert await shelf.ledger.complete(items[1], attributes={}, usage_bytes=30)
            assert await shelf.ledger.fail(items[2], Fault("invalid_file", "broken"))
            now = await shelf.stores.get(store.id)
            assert now.counts == FileCounts(in_progress=1, completed=2, failed=1) and now.usage_bytes == 100
            await shelf.stores.detach(store.id, files[0].id)
            await shelf.files.delete(files[2].id)
            now = await shelf.stores.get(store.id)
            assert now.counts == FileCounts(in_progress=1, completed=1) and now.usage_bytes == 30
            assert not await shelf.ledger.complete(items[2], attributes={}, usage_bytes=1)
            failed = [file.file_id for file in (await shelf.stores.files(store.id, Page(), status="failed")).files]
            assert failed == []

    asyncio.run(main())


def test_a_lost_lease_writes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, files = await shelf.new_store("a")
            (late,) = await shelf.work.claim(owner="dead", seconds=-1, limit=1)
            (item,) = await shelf.work.claim(owner="living", seconds=60, limit=1)
            assert item.key == late.key and item.fence == late.fence + 1 and item.attempt == 2
            assert await shelf.work.renew([late, item], seconds=60) == [item.key]
            assert not await shelf.ledger.wanted(late) and await shelf.ledger.wanted(item)
            assert not await shelf.ledger.complete(late, attributes={}, usage_bytes=1)
            assert not await shelf.ledger.fail(late, Fault("server_error", "late"))
            assert not await shelf.work.finish(late) and not await shelf.work.postpone(late, seconds=0)
            assert (await shelf.stores.file(store.id, files[0].id)).status == "in_progress"
            assert await shelf.ledger.complete(item, attributes={}, usage_bytes=1)

    asyncio.run(main())


HOLD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from shelf import opened

async def main():
    async with opened(Path(sys.argv[1])) as shelf:
        await shelf.new_store("a", "b")
        assert len(await shelf.work.claim(owner="holder", seconds=3600, limit=5)) == 2
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_what_a_dead_process_held_is_free_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLD, str(tmp_path), str(Path(__file__).parent), stdout=subprocess.PIPE
        )
        assert child.stdout is not None and await child.stdout.readline() == b"held\n"
        async with opened(tmp_path) as shelf:
            assert await shelf.work.release_dead() == 0
            assert await shelf.work.claim(owner="next", seconds=60, limit=5) == []
            child.kill()
            await child.wait()
            assert await shelf.work.release_dead() == 2
            assert [item.attempt for item in await shelf.work.claim(owner="next", seconds=60, limit=5)] == [2, 2]
            assert await shelf.work.release_dead() == 0

    asyncio.run(main())


def test_a_file_belongs_to_every_batch_that_it_came_with(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store = await shelf.stores.create(NewStore(name="s"))
            files = [await shelf.upload(text, f"{text}.txt") for text in "abcd"]
            plain = [Attach(file_id=file.id) for file in files]
            one = await shelf.stores.attach_batch(store.id, plain)
            items = await shelf.work.claim(owner="w", seconds=60, limit=10)
            assert await shelf.ledger.complete(items[0], attributes={}, usage_bytes=1)
            assert await shelf.ledger.fail(items[1], Fault("invalid_file", "broken"))
            two = await shelf.stores.attach_batch(store.id, plain)
            await shelf.stores.attach(store.id, plain[0])
            await shelf.stores.attach(store.id, Attach(file_id=files[2].id, recipe=Recipe(200, 50)))

            async def seen(batch: str) -> tuple[FileCounts, set[str]]:
                listed = await shelf.stores.files(store.id, Page(limit=3), batch_id=batch)
                rest = await shelf.stores.files(store.id, Page(after=listed.files[-1].file_id), batch_id=batch)
                assert listed.has_more and not rest.has_more
                both = [*listed.files, *rest.files]
                assert len(both) == 4
                return (await shelf.stores.batch(store.id, batch)).counts, {file.file_id for file in both}

            everything = {file.id for file in files}
            assert await seen(one.id) == await seen(two.id) == (FileCounts(in_progress=3, completed=1), everything)
            assert (await shelf.stores.get(store.id)).counts == FileCounts(in_progress=3, completed=1)
            for item in await shelf.work.claim(owner="w", seconds=60, limit=10):
                if item.kind != "ingest" or not await shelf.ledger.complete(item, attributes={}, usage_bytes=1):
                    await shelf.work.finish(item)
            assert not await shelf.ledger.complete(items[2], attributes={}, usage_bytes=1)
            assert await shelf.work.finish(items[2])
            assert await shelf.ledger.complete(items[3], attributes={}, usage_bytes=1)
            assert await seen(one.id) == await seen(two.id) == (FileCounts(completed=4), everything)
            await shelf.stores.detach(store.id, files[3].id)
            for batch in (one.id, two.id):
                assert (await shelf.stores.batch(store.id, batch)).counts == FileCounts(completed=3)
                ids = [file.file_id for file in (await shelf.stores.files(store.id, Page(), batch_id=batch)).files]
                assert sorted(ids) == sorted(file.id for file in files[:3])
            await shelf.stores.delete(store.id)
            async with shelf.working():
                await shelf.quiet()
            left = "SELECT (SELECT count(*) FROM further_batches) + (SELECT count(*) FROM vector_store_files)"
            assert await shelf.state.read(lambda cursor: cursor.execute(left).fetchall()) == [(0,)]

    asyncio.run(main())


def test_cancelling_the_second_batch_leaves_what_the_first_waits_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, files = await shelf.new_store()
            files = [await shelf.upload(text, f"{text}.txt") for text in "ab"]
            one = await shelf.stores.attach_batch(store.id, [Attach(file_id=files[0].id)])
            two = await shelf.stores.attach_batch(store.id, [Attach(file_id=file.id) for file in files])
            stopped = await shelf.stores.cancel_batch(store.id, two.id)
            assert stopped.stopped and stopped.counts == FileCounts(in_progress=1, cancelled=1)
            assert (await shelf.stores.batch(store.id, one.id)).counts == FileCounts(in_progress=1)
            await shelf.stores.attach(store.id, Attach(file_id=files[1].id))
            assert (await shelf.stores.cancel_batch(store.id, two.id)).counts == FileCounts(in_progress=2)
            assert (await shelf.stores.get(store.id)).counts == FileCounts(in_progress=2)

    asyncio.run(main())


def test_attaching_again_keeps_the_place_unless_the_recipe_changed(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, (file,) = await shelf.new_store("a")
            first = await shelf.stores.file(store.id, file.id)
            again = await shelf.stores.attach(store.id, Attach(file_id=file.id, attributes={"a": 1.0}))
            assert again.key == first.key and again.attributes == {"a": 1.0}
            other = await shelf.stores.attach(store.id, Attach(file_id=file.id, recipe=Recipe(200, 50)))
            assert other.key != first.key and other.recipe == Recipe(200, 50)
            assert (await shelf.stores.get(store.id)).counts == FileCounts(in_progress=1)
            assert [one.key for one in (await shelf.stores.files(store.id, Page())).files] == [other.key]

    asyncio.run(main())


def test_batches_count_their_own_files_and_can_be_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, _ = await shelf.new_store("alone")
            files = [await shelf.upload(f"text {number}") for number in range(130)]
            batch = await shelf.stores.attach_batch(store.id, [Attach(file_id=file.id) for file in files])
            assert batch.counts == FileCounts(in_progress=130)
            listed = await shelf.stores.files(store.id, Page(limit=100), batch_id=batch.id)
            assert len(listed.files) == 100 and listed.has_more
            stopped = await shelf.stores.cancel_batch(store.id, batch.id)
            assert stopped.stopped and stopped.counts == FileCounts(cancelled=130)
            assert (await shelf.stores.get(store.id)).counts == FileCounts(in_progress=1, cancelled=130)
            items = await shelf.work.claim(owner="w", seconds=60, limit=200)
            assert [await shelf.ledger.wanted(item) for item in items] == [True] + [False] * 130

    asyncio.run(main())


def test_a_batch_with_an_unknown_file_attaches_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, (file,) = await shelf.new_store("a")
            with pytest.raises(NotFoundError, match="No such File object: file-nope"):
                await shelf.stores.attach_batch(store.id, [Attach(file_id=file.id), Attach(file_id="file-nope")])
            with pytest.raises(NotFoundError):
                await shelf.stores.create(NewStore(), [Attach(file_id="file-nope")])
            assert len((await shelf.stores.page(Page())).stores) == 1

    asyncio.run(main())


def test_files_deleted_while_a_batch_is_attached_do_not_hang_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            for _ in range(5):
                store = await shelf.stores.create(NewStore())
                files = [await shelf.upload(f"text {number}") for number in range(120)]
                attached = [Attach(file_id=file.id) for file in files]
                attaching = asyncio.create_task(shelf.stores.attach_batch(store.id, attached))
                # Files that are gone before anything is attached make the batch a 404, which is another test's matter.
                for _ in range(100_000):
                    if (await shelf.stores.get(store.id)).counts.total or attaching.done():
                        break
                    await asyncio.sleep(0)
                await asyncio.gather(*(shelf.files.delete(file.id) for file in files[60:]))
                batch = await attaching
                counts = (await shelf.stores.batch(store.id, batch.id)).counts
                assert counts == FileCounts(in_progress=60)
                assert (await shelf.stores.get(store.id)).counts == counts

    asyncio.run(main())


def test_unknown_things_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            store, (file,) = await shelf.new_store("a")
            with pytest.raises(NotFoundError, match="Vector store with id 'vs_nope' not found"):
                await shelf.stores.get("vs_nope")
            with pytest.raises(NotFoundError, match=f"No file found with id 'file-nope' in vector store '{store.id}'"):
                await shelf.stores.file(store.id, "file-nope")
            with pytest.raises(NotFoundError, match="No file batch found with id 'vsfb_nope'"):
                await shelf.stores.batch(store.id, "vsfb_nope")
            await shelf.stores.delete(store.id)
            with pytest.raises(NotFoundError):
                await shelf.stores.file(store.id, file.id)
            assert (await shelf.stores.page(Page())).stores == []

    asyncio.run(main())


def test_pages_of_stores_and_their_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            made = [(await shelf.stores.create(NewStore(name=str(number)))).id for number in range(5)][::-1]
            listed = await shelf.stores.page(Page(limit=2, after=made[0]))
            assert [store.id for store in listed.stores] == made[1:3] and listed.has_more
            await shelf.stores.delete(made[2])
            listed = await shelf.stores.page(Page(limit=2, after=made[2]))
            assert [store.id for store in listed.stores] == made[3:5] and not listed.has_more
            store, files = await shelf.new_store("a", "b", "c")
            page = await shelf.stores.files(store.id, Page(limit=1, order="asc", after=files[0].id))
            assert [file.file_id for file in page.files] == [files[1].id] and page.has_more
            await shelf.stores.detach(store.id, files[0].id)
            page = await shelf.stores.files(store.id, Page(limit=5, order="asc", after=files[0].id))
            assert [file.file_id for file in page.files] == [files[1].id, files[2].id]

    asyncio.run(main())


def test_a_store_expires_with_disuse_and_use_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            file = await shelf.upload("a")
            store = await shelf.stores.create(NewStore(expires_days=2), [Attach(file_id=file.id)])
            start = clock.now()
            assert store.expires_at == store.last_active_at + 2 * DAY
            monkeypatch.setattr(clock, "now", lambda: start + 1.5 * DAY)
            await shelf.stores.open([store.id])
            monkeypatch.setattr(clock, "now", lambda: start + 3 * DAY)
            assert not (await shelf.stores.get(store.id)).expired
            monkeypatch.setattr(clock, "now", lambda: start + 4 * DAY)
            now = await shelf.stores.get(store.id)
            assert now.expired and now.counts.total == 0
            for use in (
                shelf.stores.open([store.id]),
                shelf.stores.attach(store.id, Attach(file_id=file.id)),
                shelf.stores.update(store.id, StoreChange(name="x")),
            ):
                with pytest.raises(RequestError, match="is expired") as refused:
                    await use
                assert refused.value.http_status == 400
            assert await shelf.ledger.expire() == 1 and await shelf.ledger.expire() == 0
            async with shelf.working():
                await shelf.quiet()
            assert (await shelf.stores.get(store.id)).expired
            assert (await shelf.stores.files(store.id, Page())).files == ()
            await shelf.stores.delete(store.id)

    asyncio.run(main())
