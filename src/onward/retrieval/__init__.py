"""The retrieval room: files become passages, questions find them, answers cite them.

It knows ports and core; no HTTP, no public ids, no state rows.
"""
