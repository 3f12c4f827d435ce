"""Files to text: parsers that run only in killable child processes, and the pool that runs them."""
