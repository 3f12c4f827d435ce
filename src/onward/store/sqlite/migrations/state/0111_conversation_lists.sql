-- Lists of conversations: by creation, by metadata, and with cursors that outlive their conversation.
CREATE INDEX conversations_by_time ON conversations (project, created_at, log);

CREATE TABLE conversation_labels (
  project INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  created_at REAL NOT NULL,
  log INTEGER NOT NULL,
  PRIMARY KEY (project, name, value, created_at, log)
) WITHOUT ROWID;

CREATE TABLE closed_conversations (
  project INTEGER NOT NULL,
  suffix BLOB NOT NULL,
  created_at REAL NOT NULL,
  log INTEGER NOT NULL,
  PRIMARY KEY (project, suffix)
) WITHOUT ROWID;

INSERT INTO conversation_labels (project, name, value, created_at, log)
SELECT c.project, j.key, j.value, c.created_at, c.log FROM conversations c, json_each(CAST(c.metadata AS TEXT)) j
WHERE c.metadata IS NOT NULL;

CREATE TRIGGER conversations_opened AFTER INSERT ON conversations BEGIN
  DELETE FROM closed_conversations WHERE project = NEW.project AND suffix = NEW.suffix;
  INSERT INTO conversation_labels (project, name, value, created_at, log)
  SELECT NEW.project, j.key, j.value, NEW.created_at, NEW.log
  FROM json_each(CAST(coalesce(NEW.metadata, '{}') AS TEXT)) j;
END;

CREATE TRIGGER conversations_relabelled AFTER UPDATE OF metadata ON conversations BEGIN
  DELETE FROM conversation_labels WHERE (project, name, value, created_at, log) IN (
    SELECT OLD.project, j.key, j.value, OLD.created_at, OLD.log
    FROM json_each(CAST(coalesce(OLD.metadata, '{}') AS TEXT)) j
  );
  INSERT INTO conversation_labels (project, name, value, created_at, log)
  SELECT NEW.project, j.key, j.value, NEW.created_at, NEW.log
  FROM json_each(CAST(coalesce(NEW.metadata, '{}') AS TEXT)) j;
END;

CREATE TRIGGER conversations_closed AFTER DELETE ON conversations BEGIN
  DELETE FROM conversation_labels WHERE (project, name, value, created_at, log) IN (
    SELECT OLD.project, j.key, j.value, OLD.created_at, OLD.log
    FROM json_each(CAST(coalesce(OLD.metadata, '{}') AS TEXT)) j
  );
  INSERT OR REPLACE INTO closed_conversations (project, suffix, created_at, log)
  VALUES (OLD.project, OLD.suffix, OLD.created_at, OLD.log);
END;
