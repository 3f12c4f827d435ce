-- name: create
INSERT INTO documents (project, sha256, type, recipe, model, title, touched_at)
VALUES (:project, :sha256, :type, :recipe, :model, :title, :now)
ON CONFLICT (project, sha256, type, recipe, model, title) DO UPDATE SET touched_at = excluded.touched_at
RETURNING id;

-- name: state
SELECT id, ready, chunks, usage_bytes,
  (SELECT count(*) FROM links WHERE links.project = documents.project AND links.document = documents.id)
FROM documents WHERE project = :project AND id = :document;

-- name: put_chunk
INSERT OR REPLACE INTO chunks (project, document, ordinal, start, stop, page, heading, text)
VALUES (:project, :document, :ordinal, :start, :stop, :page, :heading, :text);

-- name: put_entry
INSERT OR REPLACE INTO entries (project, document, ordinal, first_window, last_window, vectors, terms)
VALUES (:project, :document, :ordinal, :first_window, :last_window, :vectors, :terms);

-- name: covered
SELECT last_window FROM entries WHERE project = :project AND document = :document AND ordinal = :ordinal;

-- name: advance
UPDATE documents SET chunks = max(chunks, :chunks), touched_at = :now
WHERE project = :project AND id = :document AND ready = 0;

-- name: measure
SELECT coalesce(sum(octet_length(text)), 0)
  + (SELECT coalesce(sum(octet_length(vectors)), 0) FROM entries WHERE project = :project AND document = :document)
FROM chunks WHERE project = :project AND document = :document;

-- name: finish
UPDATE documents SET ready = 1, usage_bytes = :usage_bytes, touched_at = :now
WHERE project = :project AND id = :document;

-- name: contents
SELECT ordinal, start, stop, text FROM chunks WHERE project = :project AND document = :document ORDER BY ordinal;

-- name: passages
-- A cross join is taken in this order: from the few keys to their rows.
SELECT c.document, c.ordinal, c.text, c.start, c.stop, c.page, c.heading, d.title
FROM json_each(:keys) k
CROSS JOIN chunks c ON c.project = :project AND c.document = k.value ->> 0 AND c.ordinal = k.value ->> 1
CROSS JOIN documents d ON d.project = c.project AND d.id = c.document;

-- name: models
SELECT model FROM documents WHERE project = :project AND id = :document;

-- name: entries
SELECT ordinal, first_window, last_window, vectors, terms FROM entries WHERE project = :project AND document = :document ORDER BY ordinal;

-- name: by_content
SELECT id FROM documents WHERE project = :project AND sha256 = :sha256;

-- name: orphans
SELECT project, id FROM documents d WHERE touched_at < :before
AND NOT EXISTS (SELECT 1 FROM links l WHERE l.project = d.project AND l.document = d.id) LIMIT 16;

-- name: delete_chunks
DELETE FROM chunks WHERE rowid IN
(SELECT rowid FROM chunks WHERE project = :project AND document = :document LIMIT :limit);

-- name: delete_entries
DELETE FROM entries WHERE rowid IN
(SELECT rowid FROM entries WHERE project = :project AND document = :document LIMIT :limit);

-- name: retire
UPDATE documents SET ready = 0, chunks = 0, sha256 = '~' || id, title = '' WHERE project = :project AND id = :document;

-- name: delete
DELETE FROM documents WHERE project = :project AND id = :document;
