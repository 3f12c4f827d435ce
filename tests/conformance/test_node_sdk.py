"""The Node SDK against a real server: one program, installed from its lock file."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from servers import Server

PROGRAM = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".sdk-venvs"
MIN_CHECKS = 13


def installed() -> Path:
    """Return a folder with the program and the SDK of its lock file, made once for each lock file."""
    lock = (PROGRAM / "package-lock.json").read_bytes()
    folder = CACHE / f"node-{sha256(lock).hexdigest()[:12]}"
    if not (folder / "node_modules" / "openai").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PROGRAM / name, folder / name)
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    shutil.copy(PROGRAM / "conformance.mjs", folder / "conformance.mjs")
    return folder


@pytest.mark.slow
@pytest.mark.ledger("sdks:node")
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")
def test_the_node_sdk_passes_its_conformance_program(server: Server) -> None:
    folder = installed()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        ["node", "conformance.mjs", server.base_url],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: ") >= MIN_CHECKS
