-- The events of a streamed run that has ended, so that its stream can be told again. Large values: a rowid table is the better tree.
CREATE TABLE recordings (
  run INTEGER PRIMARY KEY,     -- unique in the file
  project INTEGER NOT NULL,
  body BLOB NOT NULL
);
