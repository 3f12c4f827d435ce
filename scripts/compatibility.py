"""The requirement ledger: every behaviour has a source and a test, every test of a behaviour has an entry.

`--check` verifies both ways and that docs/compatibility.md is current; `--write` writes it. A ledger entry is a line of
`tests/conformance/ledger.toml`; a test names its entries with `@pytest.mark.ledger("area:behaviour", …)`.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "tests/conformance/ledger.toml"
MATRIX = ROOT / "docs/compatibility.md"

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
    """Return ledger id → {does, source}."""
    areas: dict[str, dict[str, dict[str, str]]] = tomllib.loads(LEDGER.read_text())
    return {f"{area}:{name}": entry for area, behaviours in areas.items() for name, entry in behaviours.items()}


def matrix(ledger: dict[str, dict[str, str]], tests: dict[str, list[str]]) -> str:
    """Return the document."""
    lines = [HEAD]
    area = ""
    for name, entry in ledger.items():
        if name.partition(":")[0] != area:
            area = name.partition(":")[0]
            lines += [
                f"\n## {area.replace('_', ' ').capitalize()}\n",
                "| behaviour | source | tests |",
                "|---|---|---|",
            ]
        shown = ", ".join(f"`{test.split('::')[1]}`" for test in sorted(set(tests[name])))
        lines.append(f"| {entry['does']} | {entry['source']} | {shown} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Check or write; return the exit status."""
    ledger, tests = entries(), marked_tests()
    problems = [f"{name}: no test" for name in ledger if name not in tests]
    problems += [
        f"{name}: no entry, named by {', '.join(places)}" for name, places in tests.items() if name not in ledger
    ]
    document = "" if problems else matrix(ledger, tests)
    if not problems and "--write" in arguments:
        MATRIX.write_text(document)
    elif not problems and (not MATRIX.exists() or MATRIX.read_text() != document):
        problems.append(f"{MATRIX.relative_to(ROOT)} is not current: run `make ledger`")
    print("\n".join(problems) or f"{len(ledger)} behaviours, {len({t for ts in tests.values() for t in ts})} tests")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
