-- A deleted file keeps its key and position, so that a cursor on it stays valid; its name and content address are gone.
CREATE TABLE files (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  id TEXT NOT NULL,
  filename TEXT NOT NULL,
  purpose TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  media_type TEXT,
  created_at REAL NOT NULL,
  expires_at REAL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE UNIQUE INDEX files_by_id ON files (project, id);
CREATE INDEX files_by_age ON files (project, created_at, key) WHERE deleted = 0;
CREATE INDEX files_by_purpose ON files (project, purpose, created_at, key) WHERE deleted = 0;
CREATE INDEX files_by_content ON files (project, sha256) WHERE deleted = 0;
CREATE INDEX files_by_expiry ON files (expires_at) WHERE deleted = 0 AND expires_at IS NOT NULL;
