-- A file that is attached again belongs to both batches: one holds its place, further ones stand here.
CREATE TABLE further_batches (
  project INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  link INTEGER NOT NULL,
  PRIMARY KEY (project, batch, link)
) WITHOUT ROWID;

CREATE INDEX further_batches_by_link ON further_batches (project, link);

CREATE TRIGGER further_batches_added AFTER INSERT ON further_batches BEGIN
  UPDATE file_batches SET (in_progress, completed, failed, cancelled) = (
    SELECT
      file_batches.in_progress + (l.status = 'in_progress'),
      file_batches.completed + (l.status = 'completed'),
      file_batches.failed + (l.status = 'failed'),
      file_batches.cancelled + (l.status = 'cancelled')
    FROM vector_store_files AS l WHERE l.project = NEW.project AND l.key = NEW.link
  )
  WHERE project = NEW.project AND key = NEW.batch;
END;

CREATE TRIGGER further_batches_changed AFTER UPDATE OF status, deleted ON vector_store_files BEGIN
  UPDATE file_batches SET
    in_progress = in_progress - (OLD.deleted = 0 AND OLD.status = 'in_progress')
      + (NEW.deleted = 0 AND NEW.status = 'in_progress'),
    completed = completed - (OLD.deleted = 0 AND OLD.status = 'completed')
      + (NEW.deleted = 0 AND NEW.status = 'completed'),
    failed = failed - (OLD.deleted = 0 AND OLD.status = 'failed') + (NEW.deleted = 0 AND NEW.status = 'failed'),
    cancelled = cancelled - (OLD.deleted = 0 AND OLD.status = 'cancelled')
      + (NEW.deleted = 0 AND NEW.status = 'cancelled')
  WHERE project = NEW.project
    AND key IN (SELECT batch FROM further_batches WHERE project = NEW.project AND link = NEW.key);
END;

CREATE TRIGGER further_batches_removed AFTER DELETE ON vector_store_files BEGIN
  UPDATE file_batches SET
    in_progress = in_progress - (OLD.deleted = 0 AND OLD.status = 'in_progress'),
    completed = completed - (OLD.deleted = 0 AND OLD.status = 'completed'),
    failed = failed - (OLD.deleted = 0 AND OLD.status = 'failed'),
    cancelled = cancelled - (OLD.deleted = 0 AND OLD.status = 'cancelled')
  WHERE project = OLD.project
    AND key IN (SELECT batch FROM further_batches WHERE project = OLD.project AND link = OLD.key);
  DELETE FROM further_batches WHERE project = OLD.project AND link = OLD.key;
END;
