"""The full tier: everything that `make test` leaves out, part by part, with a summary in docs/VERIFIED.md.

Each part runs in a process of its own, so that one that fails does not hide the others. Older lines of the SDK get an
environment of their own under `.sdk-venvs`; the servers they talk to run from the main one.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
VERIFIED = ROOT / "docs/VERIFIED.md"
SDK_VENVS = ROOT / ".sdk-venvs"
SDK_LINES = ("2.54.0", "1.109.1")
TOOLS = ("pytest>=8.3", "hypothesis>=6.115", "schemathesis==4.32.5", "msgspec>=0.19", "websockets>=13,<16")
_COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


class Part(NamedTuple):
    """A part of the full tier: what it is called, its command, and variables on top of the environment."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = {}


class Outcome(NamedTuple):
    """How a part went."""

    name: str
    status: int
    counts: str
    seconds: float


def parts() -> list[Part]:
    """Return the parts in the order in which they run."""
    python = sys.executable
    binaries = Path(python).parent
    pytest = [python, "-m", "pytest", "-o", "addopts=--strict-markers", "-p", "no:cacheprovider"]
    found = [
        Part("format", [str(binaries / "ruff"), "format", "--check", "."]),
        Part("lint", [str(binaries / "ruff"), "check", "."]),
        Part("types", [str(binaries / "pyright")]),
        Part("layers", [str(binaries / "lint-imports")]),
        Part("sizes", [python, "scripts/check_sizes.py"]),
        Part("ledger", [python, "scripts/compatibility.py", "--check"]),
        Part("all tests, slow ones and the Node SDK included (SDK 3.54.0)", [*pytest, "--ignore=tests/frameworks"]),
        Part("programs of agent frameworks", [*pytest, "tests/frameworks"]),
        Part("conformance, three processes on one store", [*pytest, "tests/conformance"], {"ONWARD_TEST_WORKERS": "3"}),
    ]
    for line in SDK_LINES:
        own = str(environment_of(line) / "bin/python")
        command = [own, *pytest[1:], "-m", "not slow", "tests/conformance"]
        found.append(Part(f"conformance, SDK {line}", command, {"ONWARD_TEST_PYTHON": python}))
    return found


def environment_of(line: str) -> Path:
    """Return the environment with this line of the SDK, made where it is missing."""
    folder = SDK_VENVS / f"openai-{line}"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, f"openai=={line}", *TOOLS], check=True)
    return folder


def run(part: Part) -> Outcome:
    """Run a part; its output goes to this process's own."""
    print(f"\n=== {part.name}", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(
        part.command,
        cwd=ROOT,
        env=os.environ | dict(part.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    last = ""
    with process.stdout as output:
        for line in output:
            print(line, end="", flush=True)
            last = line if _COUNTS.search(line) else last
    status = process.wait()
    counts = ", ".join(" ".join(found) for found in _COUNTS.findall(last)) or ("passed" if status == 0 else "failed")
    return Outcome(part.name, status, counts, time.monotonic() - started)


def document(outcomes: list[Outcome]) -> str:
    """Return what stands in docs/VERIFIED.md."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    state = f"`{commit[:12]}`" + (", with changes that are not committed" if changed else "")
    lines = [
        "# Verified",
        "",
        f"Written by `make ci-full` on {datetime.now(UTC):%Y-%m-%d}, at commit {state}, with Python "
        f"{sys.version.split()[0]} on {os.cpu_count()} cores.",
        "",
        "| part | result | seconds |",
        "|---|---|---|",
    ]
    for one in outcomes:
        result = one.counts if one.status == 0 else f"**failed** ({one.counts})"
        lines.append(f"| {one.name} | {result} | {one.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run every part, write the document, and return 1 where one failed."""
    outcomes = [run(part) for part in parts()]
    text = document(outcomes)
    VERIFIED.write_text(text)
    print(f"\n{text}")
    return 1 if any(one.status for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
