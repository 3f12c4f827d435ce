-- Suffixes begin with the time, so this is the order of creation and a cursor needs no other column. 2 is the chat dialect.
CREATE INDEX runs_completions ON runs (project, suffix) WHERE dialect = 2;

-- A list is often paged while its elements are deleted: cursors on them stay valid.
CREATE TABLE deleted_completions (
  project INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  PRIMARY KEY (project, suffix)
) WITHOUT ROWID;
