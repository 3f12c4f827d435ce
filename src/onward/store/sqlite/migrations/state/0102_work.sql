-- Durable work. A claim moves `due_at` to the end of its lease and raises `fence`, so one index finds both free and lost items.
CREATE TABLE work (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  kind TEXT NOT NULL,
  store INTEGER NOT NULL,
  file INTEGER NOT NULL,
  link INTEGER NOT NULL,
  due_at REAL NOT NULL,
  owner TEXT,
  attempt INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE INDEX work_by_due ON work (due_at, key);
