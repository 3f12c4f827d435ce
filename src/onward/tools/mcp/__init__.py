"""Tools of Model Context Protocol servers that a request names."""
