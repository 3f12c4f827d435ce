-- Every handle leads its keys with the project. `items` and `configs` hold large values, for which a rowid table is the better tree;
-- their keys are unique in the file, and every query names the project beside them.

CREATE TABLE items (
  key INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  run INTEGER,          -- the run that made or brought it; NULL where it was put into a conversation directly
  id BLOB NOT NULL,     -- packed public id
  type NOT NULL,        -- a number for a known type, else its name
  role,
  call_id TEXT,
  tokens INTEGER NOT NULL,
  body BLOB             -- NULL once nothing reaches it and only its id is kept, for cursors
);
CREATE INDEX items_by_id ON items (project, id);

CREATE TABLE logs (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  named INTEGER NOT NULL,      -- 1: a conversation, open or deleted since
  head INTEGER NOT NULL,       -- last position
  version INTEGER NOT NULL,    -- grows with every deletion
  base BLOB,                   -- lineage before position 1
  base_hash BLOB,              -- NULL where the history has no hash because a conversation is part of it
  tokens INTEGER NOT NULL,     -- of all visible items, the base included; kept for conversations only
  items INTEGER NOT NULL,
  open_calls BLOB,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

-- Which logs build on which: what sweeping asks before it shortens one.
CREATE TABLE branches (
  project INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  child INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (project, parent, child)
) WITHOUT ROWID;

CREATE TABLE entries (
  project INTEGER NOT NULL,
  log INTEGER NOT NULL,
  position INTEGER NOT NULL,
  item INTEGER NOT NULL,
  added_version INTEGER NOT NULL,
  deleted_version INTEGER,
  is_message INTEGER NOT NULL, -- 1: listed as a message of a thread
  total INTEGER NOT NULL,      -- tokens of the history up to here; for logs that are no conversations
  hash BLOB,                   -- of the history up to here
  PRIMARY KEY (project, log, position)
) WITHOUT ROWID;
CREATE INDEX entries_by_item ON entries (project, item);
CREATE INDEX entries_by_hash ON entries (project, hash) WHERE hash IS NOT NULL;
CREATE INDEX entries_messages ON entries (project, log, position) WHERE is_message = 1;
CREATE INDEX entries_deleted ON entries (project, log, position) WHERE deleted_version IS NOT NULL;

CREATE TABLE conversations (
  project INTEGER NOT NULL,
  log INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  created_at REAL NOT NULL,
  metadata BLOB,
  PRIMARY KEY (project, log)
) WITHOUT ROWID;

CREATE TABLE aliases (
  project INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  id BLOB NOT NULL,
  log INTEGER NOT NULL,
  key INTEGER NOT NULL,        -- the run; 0 for a conversation
  PRIMARY KEY (project, kind, id)
) WITHOUT ROWID;

CREATE TABLE configs (
  key INTEGER PRIMARY KEY,
  project INTEGER NOT NULL,
  digest BLOB NOT NULL,
  condemned INTEGER NOT NULL DEFAULT 0,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX configs_by_digest ON configs (project, digest);

CREATE TABLE runs (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  dialect INTEGER NOT NULL,
  status INTEGER NOT NULL,
  model TEXT NOT NULL,
  config INTEGER,
  extra BLOB,
  metadata BLOB,
  created_at REAL NOT NULL,
  completed_at REAL,
  flags INTEGER NOT NULL,      -- 1 background, 2 stream
  parent BLOB,                 -- packed id of the previous response
  conversation BLOB,           -- packed suffix
  log INTEGER NOT NULL,
  start INTEGER NOT NULL,      -- head and version of the log when the run began
  start_version INTEGER NOT NULL,
  "end" INTEGER,               -- last position that the run published; NULL: nothing
  end_version INTEGER,
  tokens INTEGER NOT NULL,     -- of the context that the run continues
  items INTEGER NOT NULL,
  end_tokens INTEGER,
  end_items INTEGER,
  base_calls BLOB,             -- calls that were open before the run
  open_calls BLOB,             -- calls that are open after it, or that it waits for
  usage BLOB,
  error BLOB,
  incomplete_reason TEXT,
  context_plan BLOB,
  PRIMARY KEY (project, log, key)
) WITHOUT ROWID;

-- Runs that have not ended; each holds the tip of its log. A waiting run has no owner; the fence outlives owners.
CREATE TABLE leases (
  project INTEGER NOT NULL,
  log INTEGER NOT NULL,
  run INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  owner TEXT,
  until REAL,
  expires_at REAL,
  PRIMARY KEY (project, log)
) WITHOUT ROWID;

CREATE TABLE run_items (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  side INTEGER NOT NULL,       -- 0 input, 1 output, 2 tool outputs handed in later
  item INTEGER NOT NULL,
  PRIMARY KEY (project, run, ordinal)
) WITHOUT ROWID;

CREATE TABLE model_calls (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  upstream TEXT NOT NULL,
  model TEXT NOT NULL,
  started_at REAL NOT NULL,
  ended_at REAL NOT NULL,
  finish_reason TEXT,
  usage BLOB NOT NULL,
  first_item INTEGER NOT NULL,
  last_item INTEGER NOT NULL,
  PRIMARY KEY (project, run, ordinal)
) WITHOUT ROWID;

CREATE TABLE steps (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  kind INTEGER NOT NULL,
  status INTEGER NOT NULL,
  started_at REAL NOT NULL,
  ended_at REAL,
  first_item INTEGER NOT NULL,
  last_item INTEGER NOT NULL,
  PRIMARY KEY (project, run, ordinal)
) WITHOUT ROWID;

-- What may have become unreachable and is looked at by the next sweep, not before `due`.
CREATE TABLE garbage (
  project INTEGER NOT NULL,
  kind INTEGER NOT NULL,       -- 1 log, 2 item, 3 configs
  key INTEGER NOT NULL,
  due REAL NOT NULL,
  PRIMARY KEY (project, kind, key)
) WITHOUT ROWID;
