"""Where the frameworks' programs run: environments of their own, made from lock files, and what a run of one prints.

They live under `.sdk-venvs`, a folder for each lock file, so that nothing of them enters the project's environment.
"""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".sdk-venvs"
INSTALL_SECONDS = 900
RUN_SECONDS = 180


def python_environment() -> Path:
    """Return the Python of an environment with what `python/requirements.lock` pins."""
    lock = HERE / "python/requirements.lock"
    folder = _folder("frameworks-python", lock)
    python, stamp = folder / "bin/python", folder / "installed"
    if not stamp.exists():
        uv = [sys.executable, "-m", "uv"]
        _install([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], HERE)
        sync = [*uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(lock)]
        _install(sync, HERE)
        stamp.touch()
    return python


def node_environment(name: str) -> Path:
    """Return a folder with the programs of `name/` and the packages of its lock file."""
    programs = HERE / name
    folder = _folder(f"frameworks-{name}", programs / "package-lock.json")
    stamp = folder / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs.iterdir():
        shutil.copy(program, folder / program.name)
    if not stamp.exists():
        _install(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        stamp.touch()
    return folder


def run_program(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Return what a program printed. Raises AssertionError with its output where it does not end well."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ONWARD_"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checks_of(printed: str) -> int:
    """Return how many checks held, by a program's own lines."""
    return printed.count("ok: ")


def _folder(name: str, lock: Path) -> Path:
    return CACHE / f"{name}-{sha256(lock.read_bytes()).hexdigest()[:12]}"


def _install(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
