"""Files as rows over blobs: pages, purposes, expiry, deletion, and bytes that live as long as a file names them."""

import asyncio
from pathlib import Path

import pytest
from shelf import Shelf, opened

from onward.core import clock
from onward.core.errors import NotFoundError, RequestError
from onward.ports.files import NewFile
from onward.ports.runs import Page
from onward.ports.vector_stores import Attach, NewStore
from onward.store.sqlite.files import SqliteFiles
from onward.store.sqlite.vector_stores import SqliteVectorStores


def blobs_of(data: Path) -> list[Path]:
    return [path for path in (data / "blobs").rglob("*") if path.is_file() and path.name != ".lock"]


async def ids(shelf: Shelf, **page: object) -> list[str]:
    found = await shelf.files.page(Page(**page))  # type: ignore[arg-type]
    return [file.id for file in found.files]


def test_pages_go_both_ways_and_outlive_their_cursor(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            all_ids = [(await shelf.upload(f"text {number}")).id for number in range(7)]
            newest = all_ids[::-1]
            assert await ids(shelf, limit=100) == newest
            assert await ids(shelf, limit=100, order="asc") == all_ids
            assert await ids(shelf, limit=3) == newest[:3]
            assert await ids(shelf, limit=3, after=newest[2]) == newest[3:6]
            assert await ids(shelf, limit=3, before=newest[5]) == newest[2:5]
            assert await ids(shelf, limit=9, after=newest[0], before=newest[4]) == newest[1:4]
            assert not (await shelf.files.page(Page(limit=7))).has_more
            assert (await shelf.files.page(Page(limit=6))).has_more
            await shelf.files.delete(newest[2])
            assert await ids(shelf, limit=2, after=newest[2]) == newest[3:5]
            with pytest.raises(RequestError) as refused:
                await ids(shelf, after="file-unknown")
            assert refused.value.param == "after"

    asyncio.run(main())


def test_purposes_filter(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            await shelf.upload("a")
            async with shelf.files.receive() as incoming:
                await incoming.write(b"b")
                vision = await incoming.finish(NewFile(filename="b.png", purpose="vision", media_type="image/png"))
            found = await shelf.files.page(Page(), purpose="vision")
            assert [file.id for file in found.files] == [vision.id] and found.files[0] == vision

    asyncio.run(main())


def test_the_same_bytes_live_until_the_last_file_goes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            one, two = await shelf.upload("same", "one.txt"), await shelf.upload("same", "two.txt")
            assert one.sha256 == two.sha256 and len(blobs_of(tmp_path)) == 1
            await shelf.files.delete(one.id)
            assert b"".join([part async for part in shelf.files.read(two)]) == b"same"
            await shelf.files.delete(two.id)
            assert blobs_of(tmp_path) == []
            assert await shelf.work.due_in() is None
            for gone in (one, two):
                with pytest.raises(NotFoundError, match=f"No such File object: {gone.id}"):
                    await shelf.files.get(gone.id)
                with pytest.raises(NotFoundError):
                    await shelf.files.delete(gone.id)

    asyncio.run(main())


def test_deletes_and_uploads_of_the_same_bytes_at_once_never_lose_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf, opened(tmp_path) as other:
            for _ in range(15):
                old = await shelf.upload("contended")
                new, _ = await asyncio.gather(other.upload("contended"), shelf.files.delete(old.id))
                assert b"".join([part async for part in shelf.files.read(new)]) == b"contended"
                await shelf.files.delete(new.id)
                assert blobs_of(tmp_path) == []

    asyncio.run(main())


def test_an_upload_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            async with shelf.files.receive() as incoming:
                await incoming.write(b"half")
            assert blobs_of(tmp_path) == [] and await ids(shelf) == []

    asyncio.run(main())


def test_an_expired_file_is_gone_at_once_and_cleared_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            file = await shelf.upload("passing", expires_in=3600)
            kept = await shelf.upload("kept")
            later = clock.now() + 3601
            monkeypatch.setattr(clock, "now", lambda: later)
            with pytest.raises(NotFoundError):
                await shelf.files.get(file.id)
            assert await ids(shelf) == [kept.id]
            async with shelf.working():
                async with asyncio.timeout(20):
                    while len(blobs_of(tmp_path)) > 1:  # noqa: ASYNC110 - waits for the file system
                        await asyncio.sleep(0.01)
            assert b"".join([part async for part in shelf.files.read(kept)]) == b"kept"

    asyncio.run(main())


def test_projects_share_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as shelf:
            mine = await shelf.upload("same bytes")
            other = shelf.project + 1
            others = SqliteFiles(
                project=other, state=shelf.state, blobs=shelf.blobs, index=shelf.index, work=shelf.work
            )
            their_stores = SqliteVectorStores(project=other, state=shelf.state, index=shelf.index, work=shelf.work)
            async with others.receive() as incoming:
                await incoming.write(b"same bytes")
                theirs = await incoming.finish(NewFile(filename="note.txt", purpose="assistants"))
            assert theirs.sha256 == mine.sha256 and others.path(theirs) != shelf.files.path(mine)
            store = await their_stores.create(NewStore())
            for reach in (
                others.get(mine.id),
                others.delete(mine.id),
                their_stores.create(NewStore(), [Attach(file_id=mine.id)]),
                their_stores.attach(store.id, Attach(file_id=mine.id)),
                shelf.stores.get(store.id),
                shelf.stores.open([store.id]),
            ):
                with pytest.raises(NotFoundError):
                    await reach
            await others.delete(theirs.id)
            assert await ids(shelf) == [mine.id] and (await others.page(Page())).files == []
            assert b"".join([part async for part in shelf.files.read(mine)]) == b"same bytes"

    asyncio.run(main())
