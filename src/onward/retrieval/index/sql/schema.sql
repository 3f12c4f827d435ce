-- The index database: documents once a project, their chunks, and the links that make them visible in stores.
-- A document's id is never used again, so that what a process remembers of it cannot become another's.

CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  type TEXT NOT NULL,
  recipe TEXT NOT NULL,
  model TEXT NOT NULL,
  title TEXT NOT NULL,
  ready INTEGER NOT NULL DEFAULT 0,
  chunks INTEGER NOT NULL DEFAULT 0,
  usage_bytes INTEGER NOT NULL DEFAULT 0,
  touched_at REAL NOT NULL,
  UNIQUE (project, sha256, type, recipe, model, title),
  UNIQUE (project, id)
) STRICT;

CREATE TABLE IF NOT EXISTS chunks (
  project INTEGER NOT NULL,
  document INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  page INTEGER,
  heading TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (project, document, ordinal),
  FOREIGN KEY (project, document) REFERENCES documents (project, id)
) STRICT;

-- What a search scans, apart from the text it shows: packed terms, and the int8 vectors of the embedded windows that a
-- chunk covers. Chunks share windows: vectors holds those that the chunk before does not cover.
CREATE TABLE IF NOT EXISTS entries (
  project INTEGER NOT NULL,
  document INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  first_window INTEGER NOT NULL,
  last_window INTEGER NOT NULL,
  vectors BLOB NOT NULL,
  terms BLOB NOT NULL,
  PRIMARY KEY (project, document, ordinal),
  FOREIGN KEY (project, document) REFERENCES documents (project, id)
) STRICT;

-- generation rises with every change of the store's links; epoch with every change that is not recorded in links.
CREATE TABLE IF NOT EXISTS stores (
  project INTEGER NOT NULL,
  store INTEGER NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0,
  chunks INTEGER NOT NULL DEFAULT 0,
  usage_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, store)
) STRICT, WITHOUT ROWID;

-- A link without a document is the trace of one that was taken away, so that other processes notice.
CREATE TABLE IF NOT EXISTS links (
  project INTEGER NOT NULL,
  store INTEGER NOT NULL,
  file INTEGER NOT NULL,
  document INTEGER,
  attributes TEXT NOT NULL,
  changed INTEGER NOT NULL,
  PRIMARY KEY (project, store, file),
  FOREIGN KEY (project, document) REFERENCES documents (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS links_changed ON links (project, store, changed);
CREATE INDEX IF NOT EXISTS links_document ON links (project, document) WHERE document IS NOT NULL;
CREATE INDEX IF NOT EXISTS links_file ON links (project, file);
CREATE INDEX IF NOT EXISTS documents_touched ON documents (touched_at);
