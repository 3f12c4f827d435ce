-- 1: somebody asked the owner, a process of its own, to cancel the run.
ALTER TABLE leases ADD COLUMN cancel INTEGER NOT NULL DEFAULT 0;
