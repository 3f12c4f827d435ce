"""The index of passages: SQLite rows as the truth, matrices and postings of a store in memory while it is searched."""
