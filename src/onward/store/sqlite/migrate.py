"""Schema migrations: numbered SQL files, applied in order, each once, never backwards."""

from importlib.resources.abc import Traversable

import apsw

from onward.core.errors import SetupError
from onward.store.sqlite.cursor import cursor_of


class StoreTooNew(SetupError):
    """The data directory was written by a newer release of Onward. Use that release, or another directory."""

    def __init__(self, unknown: str) -> None:
        super().__init__(f"{(type(self).__doc__ or '').strip()} (Unknown migration: {unknown}.)")


_CREATE = "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at REAL NOT NULL) WITHOUT ROWID"
_APPLIED = "SELECT name FROM migrations"
_NOTE = "INSERT INTO migrations (name, applied_at) VALUES (?, unixepoch('subsec'))"


def migrate(connection: apsw.Connection, migrations: Traversable) -> None:
    """Apply the files of `migrations` that `connection` lacks, all in one transaction. Raises StoreTooNew."""
    assets = {entry.name: entry for entry in migrations.iterdir() if entry.name.endswith(".sql")}
    cursor = cursor_of(connection)
    cursor.execute("BEGIN IMMEDIATE")
    try:
        cursor.execute(_CREATE)
        applied = {str(row[0]) for row in cursor.execute(_APPLIED).fetchall()}
        if unknown := sorted(applied - assets.keys()):
            raise StoreTooNew(unknown[0])
        for name in sorted(assets.keys() - applied):
            cursor.execute(assets[name].read_text("utf-8"))
            cursor.execute(_NOTE, (name,))
        cursor.execute("COMMIT")
    finally:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
