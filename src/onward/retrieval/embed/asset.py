"""The packaged embedding model on disk and its pinned hashes.

It must not import a numeric library: the web process reads only names from here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MODEL = "all-minilm-l6-v2-int8.1"
"""The name of the vector space; a rebuilt graph needs a new one."""
DIMENSIONS = 384
MAX_PIECES = 256
"""Word pieces a run of the model takes, [CLS] and [SEP] included."""

DIRECTORY = Path(__file__).resolve().parent.parent / "assets" / "minilm"
SHA256 = {
    "model.onnx": "86c56a167297b9db4ddd40581333ae479cb917c5266ef9749b1e6894a7b90dcf",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class AssetError(Exception):
    """The packaged model is missing or is not the one that was released; reinstall the package."""


def read_asset(name: str, *, directory: Path = DIRECTORY) -> bytes:
    """Return the bytes of a packaged file after checking its sha256; raises AssetError."""
    path = directory / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AssetError(f"The embedding model's file {path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise AssetError(f"The embedding model's file {path} is damaged: its sha256 is not the released one.")
    return data
