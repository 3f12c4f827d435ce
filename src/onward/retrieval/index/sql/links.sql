-- name: touch
INSERT INTO stores (project, store, generation, chunks, usage_bytes) VALUES (:project, :store, 1, :chunks, :usage_bytes)
ON CONFLICT (project, store) DO UPDATE SET generation = generation + 1, chunks = chunks + excluded.chunks,
  usage_bytes = usage_bytes + excluded.usage_bytes
RETURNING generation;

-- name: document
SELECT ready, chunks, usage_bytes FROM documents WHERE project = :project AND id = :document;

-- name: linked
SELECT d.id, d.chunks, d.usage_bytes FROM links l JOIN documents d ON d.project = l.project AND d.id = l.document
WHERE l.project = :project AND l.store = :store AND l.file = :file;

-- name: put
INSERT OR REPLACE INTO links (project, store, file, document, attributes, changed)
VALUES (:project, :store, :file, :document, :attributes, :changed);

-- name: set_attributes
UPDATE links SET attributes = :attributes, changed = :changed
WHERE project = :project AND store = :store AND file = :file AND document IS NOT NULL;

-- name: keep
UPDATE documents SET touched_at = :now WHERE project = :project AND id = :document;

-- name: stores_of_file
SELECT store FROM links WHERE project = :project AND file = :file AND document IS NOT NULL;

-- name: links_of_document
SELECT store, file FROM links WHERE project = :project AND document = :document;

-- name: store
SELECT generation, epoch, chunks, usage_bytes FROM stores WHERE project = :project AND store = :store;

-- name: count
SELECT count(*) FROM links WHERE project = :project AND store = :store AND document IS NOT NULL;

-- name: drop_links
DELETE FROM links WHERE project = :project AND store = :store;

-- name: close_store
UPDATE stores SET generation = generation + 1, epoch = epoch + 1, chunks = 0, usage_bytes = 0
WHERE project = :project AND store = :store;

-- name: all
SELECT file, document, attributes FROM links
WHERE project = :project AND store = :store AND document IS NOT NULL ORDER BY file;

-- name: since
SELECT file, document, attributes FROM links
WHERE project = :project AND store = :store AND changed > :generation ORDER BY file;
