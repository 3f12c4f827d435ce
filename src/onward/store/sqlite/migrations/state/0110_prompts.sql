-- A deleted prompt keeps its row and its place in lists, for cursors; its versions go.
CREATE TABLE prompts (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  id BLOB NOT NULL,            -- packed public id
  name TEXT,
  metadata BLOB,
  created_at REAL NOT NULL,
  current INTEGER NOT NULL,
  latest INTEGER NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;
CREATE UNIQUE INDEX prompts_by_id ON prompts (project, id) WHERE deleted = 0;
CREATE INDEX prompts_ever_by_id ON prompts (project, id);
CREATE INDEX prompts_by_time ON prompts (project, created_at, key) WHERE deleted = 0;

CREATE TABLE prompt_versions (
  project INTEGER NOT NULL,
  prompt INTEGER NOT NULL,
  number INTEGER NOT NULL,
  created_at REAL NOT NULL,
  config INTEGER,              -- a row of configs; NULL: an empty configuration
  PRIMARY KEY (project, prompt, number)
) WITHOUT ROWID;
