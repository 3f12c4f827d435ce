"""Decompression with a ceiling: a small body must not become an endless one."""

import zlib
from collections.abc import Iterator
from typing import Final

from onward.ports.egress import EgressError

STEP: Final = 256 * 1024
"""Bytes that one step may produce, so that memory stays flat whatever the ratio."""


class Inflater:
    """Decodes one body. `identity`, `gzip` and `deflate`; other encodings were not asked for and are refused."""

    def __init__(self, encoding: str | None) -> None:
        name = (encoding or "identity").strip().lower()
        if name not in ("identity", "gzip", "x-gzip", "deflate", ""):
            raise EgressError(f"The answer has an unknown encoding '{name[:40]}'.", reason="malformed")
        self._decoder = None if name in ("identity", "") else zlib.decompressobj(47 if "gzip" in name else 15)
        self._raw_deflate = name == "deflate"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Iterate over what `data` decodes to, at most `STEP` bytes at a time. Raises EgressError."""
        if self._decoder is None:
            yield data
            return
        pending = data
        while pending:
            block = self._step(pending)
            if block:
                yield block
            pending = self._decoder.unconsumed_tail
        # What the window still holds does not come with new input: ask until nothing more comes.
        while not self._decoder.eof and (block := self._step(b"")):
            yield block

    def _step(self, data: bytes) -> bytes:
        assert self._decoder is not None
        try:
            block = self._decoder.decompress(data, STEP)
        except zlib.error as error:
            if not self._raw_deflate:
                raise EgressError("The answer's compression is broken.", reason="malformed") from error
            # Some servers send deflate without its zlib header.
            self._decoder, self._raw_deflate = zlib.decompressobj(-15), False
            return self._step(data)
        self._raw_deflate = False
        return block
