"""Writes docs/settings.md from the settings themselves, or checks that it is current (`--check`)."""

import sys
from pathlib import Path

from onward.settings import describe

DOCUMENT = Path(__file__).parents[1] / "docs/settings.md"

HEAD = """# Settings

Generated from `src/onward/settings.py` by `make ledger`. A value comes from the command line, else from the variable,
else from the TOML file (`--config` or `ONWARD_CONFIG`), else from its default. `onward doctor` prints each value with
its origin.

| setting | variable | default | meaning |
|---|---|---|---|
"""

TAIL = """
Also read: `OPENAI_BASE_URL`, `OPENAI_API_KEY` and other providers' keys (see `onward models --help`), and
`ONWARD_CACHE_DIR` for the weights of the embedded model. `ONWARD_ALIASES` is a list such as
`gpt-4o=qwen3:8b,gpt-5=qwen3:32b`.
"""


def document() -> str:
    """Return the page."""
    rows = (
        f"| `{name}` | `ONWARD_{name.upper()}` | {f'`{default}`' if default else ''} | {meaning} |"
        for name, default, meaning in describe()
    )
    return HEAD + "\n".join(rows) + "\n" + TAIL


def main(arguments: list[str]) -> int:
    """Check or write; return the exit status."""
    if "--check" not in arguments:
        DOCUMENT.write_text(document())
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != document():
        print("docs/settings.md is not current: run `make ledger`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
