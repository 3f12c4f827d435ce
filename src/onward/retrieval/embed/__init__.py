"""Text to vectors: a packaged model in one shared child process, or an upstream's ``/embeddings``."""
