"""State on SQLite files in one directory: no service to run, and several server processes may share it."""
