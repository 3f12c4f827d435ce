-- The events of runs under way, a row a commit; what a reader was sent of a background run is always here first.
CREATE TABLE batches (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (project, run, ordinal)
) WITHOUT ROWID;

-- Runs that were taken over: an earlier owner adds nothing any more.
CREATE TABLE fences (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  PRIMARY KEY (project, run)
) WITHOUT ROWID;

DROP TABLE cuts;
