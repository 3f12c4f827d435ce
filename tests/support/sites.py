"""Small real web sites for tests: what each path answers, and which requests came."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Page(NamedTuple):
    """What a path answers."""

    body: bytes
    media_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = {}


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


class Site:
    """A running site."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[Asked] = []

    def url(self, path: str = "/") -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"


Answer = Callable[[Asked], Page]


@contextmanager
def site(pages: Mapping[str, Page] | Answer) -> Generator[Site]:
    """Serve pages by path, or by what a function answers, for the length of a block."""

    def answer(asked: Asked) -> Page:
        if callable(pages):
            return pages(asked)
        return pages.get(asked.path.partition("?")[0], Page(b"not here", status=404))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            here.asked.append(asked)
            page = answer(asked)
            self.send_response(page.status)
            for name, value in {"Content-Type": page.media_type, **page.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Site(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
