-- Counts and sizes are kept by triggers, so that reading a store costs the same however many files it has.
CREATE TABLE vector_stores (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  metadata BLOB NOT NULL,
  created_at REAL NOT NULL,
  last_active_at REAL NOT NULL,
  expires_days INTEGER,
  expired INTEGER NOT NULL DEFAULT 0,
  deleted INTEGER NOT NULL DEFAULT 0,
  in_progress INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  usage_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE UNIQUE INDEX vector_stores_by_id ON vector_stores (project, id);
CREATE INDEX vector_stores_by_age ON vector_stores (project, created_at, key) WHERE deleted = 0;
CREATE INDEX vector_stores_by_expiry ON vector_stores (last_active_at)
  WHERE deleted = 0 AND expired = 0 AND expires_days IS NOT NULL;

CREATE TABLE file_batches (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  id TEXT NOT NULL,
  store INTEGER NOT NULL,
  created_at REAL NOT NULL,
  stopped INTEGER NOT NULL DEFAULT 0,
  in_progress INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE UNIQUE INDEX file_batches_by_id ON file_batches (project, id);
CREATE INDEX file_batches_by_store ON file_batches (project, store);

-- A file's place in a store. `batch` is 0 for a file that was attached alone. A detached file keeps its row for cursors.
CREATE TABLE vector_store_files (
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  store INTEGER NOT NULL,
  file INTEGER NOT NULL,
  batch INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL,
  error_code TEXT,
  error_message TEXT,
  usage_bytes INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  attributes BLOB NOT NULL,
  max_tokens INTEGER NOT NULL,
  overlap_tokens INTEGER NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE UNIQUE INDEX vector_store_files_by_file ON vector_store_files (project, file, store) WHERE deleted = 0;
CREATE INDEX vector_store_files_by_place ON vector_store_files (project, store, file, key);
CREATE INDEX vector_store_files_by_age ON vector_store_files (project, store, created_at, key) WHERE deleted = 0;
CREATE INDEX vector_store_files_by_status ON vector_store_files (project, store, status, created_at, key)
  WHERE deleted = 0;
CREATE INDEX vector_store_files_by_batch ON vector_store_files (project, batch, created_at, key)
  WHERE deleted = 0 AND batch <> 0;

CREATE TRIGGER vector_store_files_added AFTER INSERT ON vector_store_files WHEN NEW.deleted = 0 BEGIN
  UPDATE vector_stores SET
    in_progress = in_progress + (NEW.status = 'in_progress'),
    completed = completed + (NEW.status = 'completed'),
    failed = failed + (NEW.status = 'failed'),
    cancelled = cancelled + (NEW.status = 'cancelled'),
    usage_bytes = usage_bytes + NEW.usage_bytes
  WHERE project = NEW.project AND key = NEW.store;
  UPDATE file_batches SET
    in_progress = in_progress + (NEW.status = 'in_progress'),
    completed = completed + (NEW.status = 'completed'),
    failed = failed + (NEW.status = 'failed'),
    cancelled = cancelled + (NEW.status = 'cancelled')
  WHERE project = NEW.project AND key = NEW.batch;
END;

CREATE TRIGGER vector_store_files_removed AFTER DELETE ON vector_store_files WHEN OLD.deleted = 0 BEGIN
  UPDATE vector_stores SET
    in_progress = in_progress - (OLD.status = 'in_progress'),
    completed = completed - (OLD.status = 'completed'),
    failed = failed - (OLD.status = 'failed'),
    cancelled = cancelled - (OLD.status = 'cancelled'),
    usage_bytes = usage_bytes - OLD.usage_bytes
  WHERE project = OLD.project AND key = OLD.store;
  UPDATE file_batches SET
    in_progress = in_progress - (OLD.status = 'in_progress'),
    completed = completed - (OLD.status = 'completed'),
    failed = failed - (OLD.status = 'failed'),
    cancelled = cancelled - (OLD.status = 'cancelled')
  WHERE project = OLD.project AND key = OLD.batch;
END;

CREATE TRIGGER vector_store_files_changed
AFTER UPDATE OF status, deleted, batch, usage_bytes ON vector_store_files BEGIN
  UPDATE vector_stores SET
    in_progress = in_progress - (OLD.deleted = 0 AND OLD.status = 'in_progress')
      + (NEW.deleted = 0 AND NEW.status = 'in_progress'),
    completed = completed - (OLD.deleted = 0 AND OLD.status = 'completed')
      + (NEW.deleted = 0 AND NEW.status = 'completed'),
    failed = failed - (OLD.deleted = 0 AND OLD.status = 'failed') + (NEW.deleted = 0 AND NEW.status = 'failed'),
    cancelled = cancelled - (OLD.deleted = 0 AND OLD.status = 'cancelled')
      + (NEW.deleted = 0 AND NEW.status = 'cancelled'),
    usage_bytes = usage_bytes - OLD.usage_bytes * (OLD.deleted = 0) + NEW.usage_bytes * (NEW.deleted = 0)
  WHERE project = NEW.project AND key = NEW.store;
  UPDATE file_batches SET
    in_progress = in_progress - (OLD.status = 'in_progress'),
    completed = completed - (OLD.status = 'completed'),
    failed = failed - (OLD.status = 'failed'),
    cancelled = cancelled - (OLD.status = 'cancelled')
  WHERE project = OLD.project AND key = OLD.batch AND OLD.deleted = 0;
  UPDATE file_batches SET
    in_progress = in_progress + (NEW.status = 'in_progress'),
    completed = completed + (NEW.status = 'completed'),
    failed = failed + (NEW.status = 'failed'),
    cancelled = cancelled + (NEW.status = 'cancelled')
  WHERE project = NEW.project AND key = NEW.batch AND NEW.deleted = 0;
END;
