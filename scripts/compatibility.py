"""The requirement ledger: every behaviour has a source and a test, every test of a behaviour has an entry.

`--check` verifies both ways and that docs/compatibility.md is current; `--write` writes it. A ledger entry is a line of
`tests/conformance/ledger.toml`; a test names its entries with `@pytest.mark.ledger("area:behaviour", …)`.
"""

import ast
import importlib
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "tests/conformance/ledger.toml"
MATRIX = ROOT / "docs/compatibility.md"
VISIBILITY = ROOT / "tests/contract/store/visibility.py"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
README = ROOT / "README.md"
TABLE = ("<!-- visibility -->\n", "<!-- /visibility -->")
WORKS = ("<!-- works -->\n", "<!-- /works -->")

HEAD = """# Compatibility

What works, each line shown by the tests named beside it. Generated from `tests/conformance/ledger.toml` by
`make ledger`; a line without a test cannot stand here.
"""


def marked_tests() -> dict[str, list[str]]:
    """Return ledger id → tests that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.ledger":
                    for argument in mark.args:
                        found[str(ast.literal_eval(argument))].append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def entries() -> dict[str, dict[str, str]]:
    """Return ledger id → {does, source}; the cells of the visibility table are entries too."""
    areas: dict[str, dict[str, dict[str, str]]] = tomllib.loads(LEDGER.read_text())
    named = {f"{area}:{name}": entry for area, behaviours in areas.items() for name, entry in behaviours.items()}
    return named | visibility_cells()


def visibility_cells() -> dict[str, dict[str, str]]:
    """Return an entry for each cell: who sees the items of a run, by dialect and status."""
    return {
        f"visibility:{row.dialect} {row.status}, {reader}": {
            "does": f"{row.dialect}, {row.status}: {reader} shows {cell}",
            "source": "design",
        }
        for row in visibility_table()
        for reader, cell in row.cells.items()
    }


def visibility_table() -> Any:
    """Return the rows of the table that the store's contract suite tests."""
    sys.path.insert(0, str(VISIBILITY.parent))
    return importlib.import_module(VISIBILITY.stem).TABLE


def readme(document: str, ledger: dict[str, dict[str, str]]) -> str:
    """Return README.md with its table of what works."""
    areas: dict[str, int] = defaultdict(int)
    for name in ledger:
        areas[name.partition(":")[0]] += 1
    lines = ["| area | behaviours shown by tests |", "|---|---|"]
    lines += [f"| {area.replace('_', ' ')} | {count} |" for area, count in areas.items()]
    return between(document, WORKS, "\n".join(lines) + "\n")


def between(document: str, marks: tuple[str, str], text: str) -> str:
    """Return `document` with `text` between two marks."""
    head, _, rest = document.partition(marks[0])
    _, _, tail = rest.partition(marks[1])
    return head + marks[0] + text + marks[1] + tail


def architecture(document: str) -> str:
    """Return ARCHITECTURE.md with the visibility table as it is tested."""
    rows = visibility_table()
    readers: list[str] = list(rows[0].cells)
    lines = [f"| dialect, status | {' | '.join(readers)} |", "|---" * (len(readers) + 1) + "|"]
    for row in rows:
        cells = " | ".join(row.cells[reader] for reader in readers)
        lines.append(f"| {row.dialect}, {row.status} | {cells} |")
    return between(document, TABLE, "\n".join(lines) + "\n")


def matrix(ledger: dict[str, dict[str, str]], tests: dict[str, list[str]]) -> str:
    """Return the document."""
    lines = [HEAD]
    area = ""
    for name, entry in ledger.items():
        if name.startswith("visibility:"):
            continue
        if name.partition(":")[0] != area:
            area = name.partition(":")[0]
            lines += [
                f"\n## {area.replace('_', ' ').capitalize()}\n",
                "| behaviour | source | tests |",
                "|---|---|---|",
            ]
        shown = ", ".join(f"`{test.split('::')[1]}`" for test in sorted(set(tests[name])))
        lines.append(f"| {entry['does']} | {entry['source']} | {shown} |")
    cells = sum(name.startswith("visibility:") for name in ledger)
    lines.append(f"\n## Visibility\n\nWho sees a run's items: {cells} cells in ARCHITECTURE.md, each tested.")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Check or write; return the exit status."""
    ledger, tests = entries(), marked_tests()
    for cells in tests.pop("visibility:*", []):
        for name in ledger:
            if name.startswith("visibility:"):
                tests[name].append(cells)
    problems = [f"{name}: no test" for name in ledger if name not in tests]
    problems += [
        f"{name}: no entry, named by {', '.join(places)}" for name, places in tests.items() if name not in ledger
    ]
    if not problems:
        wanted = {
            MATRIX: matrix(ledger, tests),
            ARCHITECTURE: architecture(ARCHITECTURE.read_text()),
            README: readme(README.read_text(), ledger),
        }
        for path, text in wanted.items():
            if "--write" in arguments:
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                problems.append(f"{path.relative_to(ROOT)} is not current: run `make ledger`")
    print("\n".join(problems) or f"{len(ledger)} behaviours, {len({t for ts in tests.values() for t in ts})} tests")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
