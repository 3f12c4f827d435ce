"""`make torture`: kill a real server so many times, and say what held."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from servers import upstream_of

from torture.trial import Torture
from torture.work import RULES


def main() -> None:
    """Run and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, upstream_of(RULES) as upstream:
        torture = Torture(Path(folder) / "data", upstream.base_url, options.seed)
        asyncio.run(torture.run(options.kills))
    seconds = time.monotonic() - started
    print(f"{sum(torture.kills.values())} kills in {seconds:.0f} s, {torture.checked} responses checked, all held")
    for name, count in sorted(torture.kills.items()):
        print(f"  {name}: {count}")


if __name__ == "__main__":
    main()
