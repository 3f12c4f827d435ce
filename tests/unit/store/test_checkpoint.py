"""The write-ahead log is moved into the file by one elected process, never by a commit."""

from pathlib import Path

from onward.store.sqlite.checkpoint import RESTART_PAGES, Checkpointer, _checkpoint, _elected
from onward.store.sqlite.cursor import cursor_of, scalar
from onward.store.sqlite.database import Durability, connect


def test_one_process_is_elected(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a") as one:
        assert _elected(one)
        with path.open("a") as two:
            assert not _elected(two)
    with path.open("a") as two:
        assert _elected(two)


def test_a_checkpoint_moves_what_no_reader_needs(tmp_path: Path) -> None:
    writer = connect(tmp_path / "x.db", durability="process")
    reader = connect(tmp_path / "x.db", durability="process")
    cursor_of(writer).execute("CREATE TABLE t (x)")
    cursor_of(reader).execute("BEGIN; SELECT * FROM t").fetchall()
    cursor_of(writer).execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert not _checkpoint(writer)
    cursor_of(reader).execute("COMMIT")
    assert _checkpoint(writer)
    for connection in (writer, reader):
        connection.close()


def test_a_long_log_starts_over(tmp_path: Path) -> None:
    writer = connect(tmp_path / "x.db", durability="process")
    cursor_of(writer).execute("CREATE TABLE t (x)")
    cursor_of(writer).execute("INSERT INTO t VALUES (zeroblob(?))", ((RESTART_PAGES + 100) * 4096,))
    assert _checkpoint(writer)
    cursor_of(writer).execute("INSERT INTO t VALUES (1)")
    assert writer.wal_checkpoint()[0] < 100
    writer.close()


def test_commits_never_checkpoint(tmp_path: Path) -> None:
    writer = connect(tmp_path / "x.db", durability="process")
    cursor_of(writer).execute("CREATE TABLE t (x)")
    before = (tmp_path / "x.db").stat().st_size
    for _ in range(3):
        cursor_of(writer).execute("INSERT INTO t VALUES (zeroblob(8000000))")
    assert (tmp_path / "x.db").stat().st_size == before
    writer.close()


def test_durability_decides_the_sync(tmp_path: Path) -> None:
    levels: dict[Durability, int] = {"process": 1, "power": 2}
    for durability, level in levels.items():
        connection = connect(tmp_path / f"{durability}.db", durability=durability)
        assert scalar(cursor_of(connection), "PRAGMA synchronous") == level
        assert scalar(cursor_of(connection), "PRAGMA secure_delete") == 1
        connection.close()


def test_a_checkpointer_stops_at_once_also_while_another_is_elected(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    pair = [Checkpointer(path, lambda: connect(path, durability="process")) for _ in range(2)]
    for checkpointer in pair:
        checkpointer.start()
    for checkpointer in pair:
        checkpointer.stop()
        checkpointer.stop()
