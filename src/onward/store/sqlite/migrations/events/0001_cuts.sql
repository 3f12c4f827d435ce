-- How the text of an item was cut into deltas; the text itself is in the item.
CREATE TABLE cuts (
  project INTEGER NOT NULL,
  run INTEGER NOT NULL,
  output_index INTEGER NOT NULL,
  lengths BLOB NOT NULL,
  PRIMARY KEY (project, run, output_index)
) WITHOUT ROWID;
