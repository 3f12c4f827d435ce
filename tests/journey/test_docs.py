"""Every snippet of the documentation runs, in order, as a reader would run it.

Bash lines that start a server stand for the server that the test has started; `make` lines are what CI itself runs.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from onward.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "src/onward/quickstart/documents"
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "docs/how-to.md", "CONTRIBUTING.md")


def snippets(page: str) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced block with a language."""
    return SNIPPET.findall((ROOT / page).read_text())


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Generator[int]:
    """Run `onward serve` as the pages tell, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "onward", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(15)


def run(language: str, code: str, folder: Path, environment: dict[str, str]) -> str:
    """Run one snippet and return what it printed. Raises AssertionError where it fails."""
    if language == "python":
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", code]
    else:
        lines = [line for line in code.splitlines() if not line.startswith(("make ", "onward serve"))]
        command = ["bash", "-euc", "\n".join(lines)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_snippet_of_a_page_runs(page: str, tmp_path: Path) -> None:
    found = snippets(page)
    assert found, f"{page} has no snippets"
    shutil.copytree(DOCUMENTS, tmp_path / "documents")
    shutil.copy(DOCUMENTS / "refund-policy.md", tmp_path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ONWARD_", "OPENAI_"))}
    environment = clean | {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ONWARD_MODEL": "extractive",
        "ONWARD_DATA": str(tmp_path / "data"),
    }
    printed: list[str] = []
    with serving(tmp_path, environment) as port:
        reader = environment | {"ONWARD_URL": f"http://127.0.0.1:{port}"}
        for language, code in found:
            if language == "toml":
                msgspec.convert(tomllib.loads(code), Settings)
                continue
            assert language in ("bash", "python"), language
            if secret := next((line for out in printed for line in out.splitlines() if line.startswith("sk-")), None):
                reader |= {"ONWARD_API_KEY": secret}
                code = code.replace('api_key="none"', f'api_key="{secret}"')
            printed.append(run(language, code.replace("127.0.0.1:8700", f"127.0.0.1:{port}"), tmp_path, reader))
    if page == "README.md":
        assert any("digital goods" in out and "refund-policy.md" in out for out in printed)


def test_make_lists_every_target_that_the_pages_name() -> None:
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    for page in PAGES:
        for target in re.findall(r"^make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE):
            assert f"make {target} " in listed, f"{page} names `make {target}`"
