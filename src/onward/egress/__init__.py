"""The guarded HTTP client for URLs that came from a request."""
