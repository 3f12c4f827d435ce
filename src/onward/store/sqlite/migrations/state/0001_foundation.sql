CREATE TABLE sequences (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE projects (
  key INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at REAL NOT NULL
);

-- A secret is found by its prefix and compared by its digest; the secret itself is never stored.
CREATE TABLE api_keys (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  digest BLOB NOT NULL,
  created_at REAL NOT NULL,
  revoked_at REAL,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE INDEX api_keys_by_prefix ON api_keys (prefix);
