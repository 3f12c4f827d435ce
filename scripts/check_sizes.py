"""Checks the size rules: median file at most 150 lines, 90th percentile 400, none over 600, functions 60."""

import ast
import statistics
import sys
from pathlib import Path

MEDIAN, NINETIETH, LARGEST, FUNCTION = 150, 400, 600, 60


def function_lengths(path: Path) -> list[tuple[int, str]]:
    """Return (lines, place) of every function, its docstring not counted."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            found.append(((node.end_lineno or 0) - first.lineno + 1, f"{path}:{node.lineno} {node.name}"))
    return found


def main() -> int:
    """Print what breaks a rule; return the exit status."""
    sources = sorted(Path("src").rglob("*.py"))
    sizes = {path: len(path.read_text().splitlines()) for path in sources}
    ordered = sorted(sizes.values())
    problems = [f"{path}: {size} lines, over {LARGEST}" for path, size in sizes.items() if size > LARGEST]
    median, ninetieth = statistics.median(ordered), ordered[int(len(ordered) * 0.9)]
    if median > MEDIAN:
        problems.append(f"median file has {median} lines, over {MEDIAN}")
    if ninetieth > NINETIETH:
        problems.append(f"90th percentile of files is {ninetieth} lines, over {NINETIETH}")
    for path in sources:
        problems += [
            f"{place}: {size} lines, over {FUNCTION}" for size, place in function_lengths(path) if size > FUNCTION
        ]
    print(f"{len(sources)} files, median {median:.0f}, 90th percentile {ninetieth}, largest {ordered[-1]} lines")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
