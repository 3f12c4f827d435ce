"""Bytes of an event stream → decoded chunks, a whole read at a time.

A batch is decoded in one call: an event is one line of JSON, and JSON never holds a raw line end, so that taking away
the `data: ` prefixes leaves JSON lines. Whatever does not look like that (comments, other fields, errors) goes line
by line.
"""

import msgspec

from onward.core.errors import UpstreamError
from onward.models.chat_completions.wire import Chunk, read_chunk

LINE_LIMIT = 8 * 1024 * 1024
"""Bytes that one event may have."""


class ChunkReader:
    """Takes reads as they come and gives the chunks that are complete. `done` is set once the upstream said `[DONE]`.

    `fault` is set by a broken event; the chunks before it are still given.
    """

    def __init__(self) -> None:
        self.done = False
        self.fault: UpstreamError | None = None
        self._tail = b""

    def feed(self, data: bytes) -> list[Chunk]:
        """Return the chunks that `data` completes."""
        if self._tail:
            data = self._tail + data
        end = data.rfind(b"\n") + 1
        self._tail = data[end:]
        if len(self._tail) > LINE_LIMIT:
            self.fault = UpstreamError("The model's server sent an event that is too long.", code="upstream_malformed")
            self._tail = b""
        return self._decode(data[:end]) if end else []

    def finish(self) -> list[Chunk]:
        """Return the chunk of a last line that had no line end."""
        tail, self._tail = self._tail, b""
        return self._decode(tail + b"\n") if tail.strip() else []

    def _decode(self, block: bytes) -> list[Chunk]:
        mark = block.find(b"data: [DONE]")
        body = block
        if mark == 0 or (mark > 0 and block[mark - 1] == 10):
            body = block[:mark]
        if body.startswith(b"data: "):
            try:
                chunks = read_chunk.decode_lines(body.replace(b"\ndata: ", b"\n")[6:])
            except msgspec.DecodeError:
                pass
            else:
                self.done = self.done or len(body) != len(block)
                return chunks
        return self._decode_by_line(block)

    def _decode_by_line(self, block: bytes) -> list[Chunk]:
        chunks: list[Chunk] = []
        for line in block.splitlines():
            payload = _payload(line)
            if not payload:
                continue
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                chunks.append(read_chunk.decode(payload))
            except msgspec.DecodeError as error:
                self.fault = UpstreamError(
                    f"The model's server sent an event that cannot be read: {error}", code="upstream_malformed"
                )
                break
        return chunks


def _payload(line: bytes) -> bytes:
    """Return the data of a line; nothing for comments and other fields. llama.cpp puts errors into a field `error`."""
    if line.startswith(b"data:"):
        return line[5:].strip()
    if line.startswith(b"error:"):
        return b'{"error":' + line[6:].strip() + b"}"
    if line.startswith(b"{"):
        return line.strip()
    return b""
