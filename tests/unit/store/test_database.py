"""The single file: group commit, isolation of failures, locks of other connections, reads, keys, migrations."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from onward.store.sqlite.cursor import Cursor, cursor_of
from onward.store.sqlite.database import INLINE_JOBS, Database, connect
from onward.store.sqlite.keyspace import BLOCK
from onward.store.sqlite.migrate import StoreTooNew

MIGRATIONS = files("onward.store.sqlite.migrations") / "state"


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[Database]:
    database = await Database.open(path / "state.db", migrations=MIGRATIONS)
    try:
        yield database
    finally:
        await database.close()


def put(name: str) -> Callable[[Cursor], str]:
    def insert(cursor: Cursor) -> str:
        cursor.execute("INSERT INTO projects (name, created_at) VALUES (?, 0)", (name,))
        return name

    return insert


def taking(database: Database, count: int) -> Callable[[Cursor], int]:
    return lambda cursor: database.keys.take(cursor, "items", count)


def names(cursor: Cursor) -> list[str]:
    return [row[0] for row in cursor.execute("SELECT name FROM projects ORDER BY name")]


def test_a_failing_write_harms_no_neighbour(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            tasks = [database.write(put(name)) for name in ("a", "b", "a", "c")]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [str, str, apsw.ConstraintError, str]
            assert await database.read(names) == ["a", "b", "c"]

    asyncio.run(main())


def test_writes_of_one_tick_share_a_transaction(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            before = database._writer.wal_checkpoint()[0]
            await asyncio.gather(*(database.write(put(f"p{number}")) for number in range(20)))
            together = database._writer.wal_checkpoint()[0] - before
            assert together < 20

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, INLINE_JOBS + 1])
def test_a_locked_file_is_waited_for_off_the_loop(tmp_path: Path, count: int) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            other = connect(tmp_path / "state.db", durability="process")
            cursor_of(other).execute("BEGIN IMMEDIATE; INSERT INTO projects (name, created_at) VALUES ('other', 0)")
            tasks = [asyncio.create_task(database.write(put(f"p{number}"))) for number in range(count)]
            await asyncio.sleep(0)
            assert await database.read(names) == []
            cursor_of(other).execute("COMMIT")
            other.close()
            await asyncio.gather(*tasks)
            assert len(await database.read(names)) == count + 1

    asyncio.run(main())


def test_a_file_that_cannot_be_written_fails_every_waiter(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            database._writer.close()
            outcomes = await asyncio.gather(database.write(put("a")), database.write(put("b")), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [apsw.ConnectionClosedError] * 2

    asyncio.run(main())


def test_writes_that_come_while_a_batch_waits_are_made_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        database = await Database.open(tmp_path / "state.db", migrations=MIGRATIONS)
        other = connect(tmp_path / "state.db", durability="process")
        cursor_of(other).execute("BEGIN IMMEDIATE")
        early = asyncio.create_task(database.write(put("early")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert database._batch is not None
        late = asyncio.create_task(database.write(put("late")))
        await asyncio.sleep(0)
        cursor_of(other).execute("COMMIT")
        await database.close()
        assert await asyncio.gather(early, late) == ["early", "late"]
        assert [row[0] for row in cursor_of(other).execute("SELECT name FROM projects ORDER BY key")] == [
            "early",
            "late",
        ]
        other.close()
        await database.close()
        with pytest.raises(RuntimeError, match="closed"):
            await database.write(put("never"))

    asyncio.run(main())


def test_commits_that_wait_for_the_disk_leave_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        database = await Database.open(tmp_path / "state.db", migrations=MIGRATIONS, durability="power")
        threads: set[str] = set()

        def insert(cursor: Cursor) -> str:
            threads.add(threading.current_thread().name)
            return put("a")(cursor)

        assert await database.write(insert) == "a"
        assert await database.read(names) == ["a"]
        assert threads == {"write-state_0"}
        await database.close()

    asyncio.run(main())


def test_a_file_that_stays_locked_fails_its_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            monkeypatch.setattr("onward.store.sqlite.database.LOCK_WAIT_MS", 20)
            other = connect(tmp_path / "state.db", durability="process")
            cursor_of(other).execute("BEGIN IMMEDIATE")
            with pytest.raises(apsw.BusyError, match="stayed locked"):
                await database.write(put("a"))
            cursor_of(other).execute("COMMIT")
            other.close()
            assert await database.write(put("a")) == "a"

    asyncio.run(main())


def test_a_cancelled_write_is_not_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            task = asyncio.create_task(database.write(put("a")))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await database.write(put("b"))
            assert "b" in await database.read(names)
            assert task.cancelled()

    asyncio.run(main())


def test_long_reads_see_finished_writes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            for name in ("a", "b"):
                await database.write(put(name))
                assert name in await database.read(names, long=True)
            lists = await asyncio.gather(*(database.read(names, long=True) for _ in range(8)))
            assert all(found == ["a", "b"] for found in lists)

    asyncio.run(main())


def test_keys_of_two_openers_never_clash(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            seen: list[int] = []
            for number in range(BLOCK + 50):
                for database in (one, two):
                    count = 1 + number % 3
                    first = await database.write(taking(database, count))
                    seen.extend(range(first, first + count))
            assert len(seen) == len(set(seen))

    asyncio.run(main())


def test_keys_taken_by_an_undone_write_are_not_given_twice(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:

            def fail(cursor: Cursor) -> None:
                one.keys.take(cursor, "items")
                raise LookupError

            with pytest.raises(LookupError):
                await one.write(fail)
            theirs = await two.write(lambda cursor: two.keys.take(cursor, "items"))
            ours = await one.write(lambda cursor: one.keys.take(cursor, "items"))
            assert ours != theirs

    asyncio.run(main())


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            await database.write(lambda c: bool(c.execute("INSERT INTO migrations VALUES ('9999_later.sql', 0)")))
        with pytest.raises(StoreTooNew, match=r"newer release of Onward.*9999_later"):
            await Database.open(tmp_path / "state.db", migrations=MIGRATIONS)

    asyncio.run(main())


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as database:
            await database.write(put("a"))
        async with opened(tmp_path) as database:
            assert await database.read(names) == ["a"]
        with pytest.raises(RuntimeError, match="closed"):
            await database.read(names)

    asyncio.run(main())
