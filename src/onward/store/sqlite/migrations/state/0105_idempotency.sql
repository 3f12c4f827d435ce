CREATE TABLE idempotency (
  project INTEGER NOT NULL,
  route TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,        -- of the request's body
  created_at REAL NOT NULL,
  suffix BLOB,                 -- packed: of the run that the request began
  status INTEGER,              -- of its answer
  body BLOB,
  PRIMARY KEY (project, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
