-- Who waits for a busy conversation, in the order of arrival over all processes; a ticket that nobody renews is void.
CREATE TABLE conversation_lines (
  project INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  ticket INTEGER NOT NULL,
  until REAL NOT NULL,
  PRIMARY KEY (project, suffix, ticket)
) WITHOUT ROWID;
