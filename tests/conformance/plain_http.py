"""HTTP without an SDK in between, for requests that no SDK would send."""

import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

Part = tuple[str, str | None, bytes]
"""Name, file name (None for a field), content."""
BOUNDARY = "boundary-of-the-tests"


class Answer:
    """A complete answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> dict[str, Any]:
        """Return the error, which must have all four keys."""
        error = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert self.headers["x-request-id"]
        return error


class Plain:
    """A connection of its own for each request."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Answer:
        return self.request("GET", f"{path}?{urlencode(params)}" if params else path)

    def post(self, path: str, body: object) -> Answer:
        return self.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})

    def form(self, path: str, parts: Sequence[Part]) -> Answer:
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        return self.request("POST", path, encode_form(parts), {"content-type": content_type})

    def request(
        self, method: str, path: str, body: bytes | Iterable[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, f"/v1{path}", body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


def encode_form(parts: Sequence[Part]) -> bytes:
    """Return a multipart body."""
    body = b""
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()
