"""Wall-clock time for rows and wire timestamps. Lease times never use it: they use the store's clock."""

import time


def now() -> float:
    """Return seconds since the epoch."""
    return time.time()
