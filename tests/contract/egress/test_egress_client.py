"""The guarded client against real servers: where it goes, what it refuses, and how much of an answer it takes."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from onward.egress.client import EgressLimits, GuardedClient
from onward.ports.egress import EgressError, Sending

LOOPBACK = ("127.0.0.0/8",)
KIB = 1024

Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Place:
    """A raw HTTP server: `requests` are the heads it received."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[str] = []
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            await self.handler(head.split(" ")[1], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def place(handler: Handler, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Place]:
    here = Place(handler)
    server = await asyncio.start_server(here.serve, host, port)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()


@asynccontextmanager
async def guarded(
    *allow: str,
    lookup: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    limits: EgressLimits | None = None,
) -> AsyncGenerator[GuardedClient]:
    client = (
        GuardedClient(allow, limits=limits) if lookup is None else GuardedClient(allow, limits=limits, lookup=lookup)
    )
    try:
        yield client
    finally:
        await client.aclose()


async def reply(writer: asyncio.StreamWriter, body: bytes, *headers: str, status: str = "200 OK") -> None:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await writer.drain()


async def hello(_path: str, writer: asyncio.StreamWriter) -> None:
    await reply(writer, b"hello", "Content-Type: Text/Plain; charset=utf-8")


async def refuse(client: GuardedClient, url: str, *, limit: int = KIB) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await client.fetch(url, limit=limit)
    return caught.value


def test_a_document_comes_with_its_name_and_type() -> None:
    async def main() -> None:
        async with place(hello) as there, guarded(*LOOPBACK) as client:
            got = await client.fetch(there.url("/folder/note.txt?secret=1"), limit=KIB)
            assert (got.body, got.media_type, got.filename) == (b"hello", "text/plain", "note.txt")
            head = there.requests[0].lower()
            assert "cookie:" not in head and "authorization:" not in head and "secret=1" in head

    asyncio.run(main())


def test_what_is_not_public_is_never_connected_to() -> None:
    async def main() -> None:
        async with place(hello) as there, guarded() as client:
            for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"):
                error = await refuse(client, there.url(host=host))
                assert error.reason == "refused" and error.status == 400, host
            assert there.requests == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2001:db8::1]",
        "[2606:4700::5efe:7f00:1]",
        "[2606:4700::200:5efe:a00:1]",
    ],
)
def test_special_addresses_are_refused(host: str) -> None:
    with pytest.raises(EgressError) as caught:
        GuardedClient().check(f"http://{host}/")
    assert caught.value.reason == "refused"


@pytest.mark.parametrize("host", ["8.8.8.8", "1.1.1.1", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]"])
def test_public_addresses_are_not(host: str) -> None:
    GuardedClient().check(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "//example.com/",
        "example.com",
        "",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://:@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://exam ple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com/\x00",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://1.2.3.4.5/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://a%00b.example/",
        "http://" + "a" * 9000,
    ],
)
def test_odd_urls_are_refused_by_their_form(url: str) -> None:
    with pytest.raises(EgressError) as caught:
        GuardedClient(["0.0.0.0/0"]).check(url)
    assert caught.value.reason == "invalid" and caught.value.status == 400


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1#@example.com:80/", "http://127.0.0.1?@example.com/", "http:127.0.0.1"]
)
def test_what_stands_behind_the_host_does_not_hide_it(url: str) -> None:
    with pytest.raises(EgressError):
        GuardedClient().check(url)


@pytest.mark.parametrize("host", ["①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "0x7F.0.0.1"])
def test_other_scripts_do_not_hide_an_address(host: str) -> None:
    with pytest.raises(EgressError):
        GuardedClient().check(f"http://{host}/")


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_used() -> None:
    async def main() -> None:
        answers = iter((["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]))
        asked: list[str] = []

        async def lookup(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        async with (
            place(hello, host="127.0.0.2") as outside,
            place(hello, port=outside.port) as inside,
            guarded("127.0.0.2/32", lookup=lookup) as client,
        ):
            url = f"http://rebinding.example:{outside.port}/"
            got = await client.fetch(url, limit=KIB)
            assert got.body == b"hello" and asked == ["rebinding.example"]
            assert f"Host: rebinding.example:{outside.port}" in outside.requests[0]
            # The second answer is another address: it is checked anew, and refused.
            assert (await refuse(client, url)).reason == "refused"
            assert inside.requests == [] and len(outside.requests) == 1

    asyncio.run(main())


def test_of_several_addresses_only_permitted_ones_are_tried() -> None:
    async def main() -> None:
        async def lookup(_host: str, _port: int) -> Sequence[str]:
            return ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "127.0.0.2"]

        async with (
            place(hello, host="127.0.0.2") as outside,
            place(hello, port=outside.port) as inside,
            guarded("127.0.0.2", lookup=lookup) as client,
        ):
            assert (await client.fetch(f"http://mixed.example:{outside.port}/", limit=KIB)).body == b"hello"
            assert inside.requests == []

    asyncio.run(main())


def test_a_name_that_is_not_found_is_unreachable() -> None:
    async def main() -> None:
        async def lookup(_host: str, _port: int) -> Sequence[str]:
            raise OSError("no such name")

        async with guarded(lookup=lookup) as client:
            error = await refuse(client, "https://nowhere.example/")
            assert error.reason == "unreachable" and "nowhere.example" in error.message

    asyncio.run(main())


@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/inside", "http://localhost:{port}/", "//[::1]:{port}/x"])
def test_a_redirect_to_loopback_is_refused(location: str) -> None:
    async def main() -> None:
        async with place(hello) as inside:

            async def away(_path: str, writer: asyncio.StreamWriter) -> None:
                await reply(writer, b"", f"Location: {location.format(port=inside.port)}", status="302 Found")

            async with place(away, host="127.0.0.2") as outside, guarded("127.0.0.2") as client:
                assert (await refuse(client, outside.url(host="127.0.0.2"))).reason == "refused"
                assert inside.requests == [] and len(outside.requests) == 1

    asyncio.run(main())


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user@127.0.0.2/", "", "http://0x7f.1/"])
def test_a_redirect_elsewhere_than_to_a_url_is_refused(location: str) -> None:
    async def main() -> None:
        async def away(_path: str, writer: asyncio.StreamWriter) -> None:
            await reply(writer, b"", f"Location: {location}", status="307 Temporary Redirect")

        async with place(away) as outside, guarded(*LOOPBACK) as client:
            assert (await refuse(client, outside.url())).reason in ("invalid", "malformed")

    asyncio.run(main())


def test_five_redirects_are_followed_and_no_more() -> None:
    async def main() -> None:
        async def count(path: str, writer: asyncio.StreamWriter) -> None:
            left = int(path.strip("/"))
            if left == 0:
                await hello(path, writer)
            else:
                await reply(writer, b"", f"Location: /{left - 1}", status="301 Moved Permanently")

        async with place(count) as there, guarded(*LOOPBACK) as client:
            assert (await client.fetch(there.url("/5"), limit=KIB)).url.endswith("/0")
            assert (await refuse(client, there.url("/6"))).reason == "redirects"

    asyncio.run(main())


def test_an_answer_that_drips_ends_with_the_time_for_all_of_it() -> None:
    async def main() -> None:
        async def drip(_path: str, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

        limits = EgressLimits(read=0.2, total=0.4)
        async with place(drip) as there, guarded(*LOOPBACK, limits=limits) as client:
            assert (await refuse(client, there.url(), limit=KIB * KIB)).reason == "timeout"

    asyncio.run(main())


def test_silence_ends_with_the_time_to_read() -> None:
    async def main() -> None:
        async def silent(_path: str, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        limits = EgressLimits(read=0.1, total=30)
        async with place(silent) as there, guarded(*LOOPBACK, limits=limits) as client:
            assert (await refuse(client, there.url())).reason == "timeout"

    asyncio.run(main())


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_not_read(declared: bool) -> None:
    async def main() -> None:
        async def endless(_path: str, writer: asyncio.StreamWriter) -> None:
            length = "Content-Length: 99999999999" if declared else "Connection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

        async with place(endless) as there, guarded(*LOOPBACK) as client:
            assert (await refuse(client, there.url(), limit=KIB * KIB)).reason == "too_large"

    asyncio.run(main())


def bomb(container: int) -> bytes:
    """Return 256 MiB of zeros, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, container)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()


@pytest.mark.parametrize(("encoding", "container"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_compressed_body_is_limited_by_what_it_becomes(encoding: str, container: int) -> None:
    packed = bomb(container)

    async def main() -> None:
        async def explode(_path: str, writer: asyncio.StreamWriter) -> None:
            await reply(writer, packed, f"Content-Encoding: {encoding}")

        async with place(explode) as there, guarded(*LOOPBACK) as client:
            assert len(packed) < KIB * KIB
            assert (await refuse(client, there.url(), limit=KIB * KIB)).reason == "too_large"

    asyncio.run(main())


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_decoded(encoding: str) -> None:
    text = b"words, many of them; " * 40_000
    packed = gzip.compress(text) if encoding == "gzip" else zlib.compress(text)

    async def main() -> None:
        async def send(_path: str, writer: asyncio.StreamWriter) -> None:
            await reply(writer, packed, f"Content-Encoding: {encoding}")

        async with place(send) as there, guarded(*LOOPBACK) as client:
            assert (await client.fetch(there.url(), limit=KIB * KIB)).body == text

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"not http at all\r\n\r\n",
        b"",
    ],
)
def test_a_broken_answer_is_an_error_in_words(answer: bytes) -> None:
    async def main() -> None:
        async def broken(_path: str, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await writer.drain()

        async with place(broken) as there, guarded(*LOOPBACK) as client:
            assert (await refuse(client, there.url())).reason in ("malformed", "unreachable")

    asyncio.run(main())


def test_an_error_status_is_told() -> None:
    async def main() -> None:
        async def missing(_path: str, writer: asyncio.StreamWriter) -> None:
            await reply(writer, b"gone", status="404 Not Found")

        async with place(missing) as there, guarded(*LOOPBACK) as client:
            error = await refuse(client, there.url())
            assert error.reason == "status" and error.upstream_status == 404

    asyncio.run(main())


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        async with place(hello) as there:
            url = there.url()
        async with guarded(*LOOPBACK) as client:
            assert (await refuse(client, url)).reason == "unreachable"

    asyncio.run(main())


def test_hosts_and_ports_can_be_allowed_one_by_one() -> None:
    async def main() -> None:
        async with place(hello) as there, place(hello) as other:
            async with guarded(f"127.0.0.1:{there.port}") as client:
                assert (await client.fetch(there.url(), limit=KIB)).body == b"hello"
                assert (await refuse(client, other.url())).reason == "refused"
                named = there.url(host="localhost")  # a name of the allowed place
                assert (await client.fetch(named, limit=KIB)).body == b"hello"
            async with guarded("localhost") as client:
                assert (await client.fetch(there.url(host="LOCALHOST"), limit=KIB)).body == b"hello"
                assert (await refuse(client, there.url())).reason == "refused"
            async with guarded("::ffff:127.0.0.0/104") as client:
                assert (await client.fetch(there.url(), limit=KIB)).body == b"hello"

    asyncio.run(main())


@pytest.mark.parametrize("entry", ["http://a", "a:0", "a:b", "user@a", "10.0.0.0/99", "a b"])
def test_a_wrong_entry_of_the_allow_list_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="no host, host:port or network"):
        GuardedClient([entry])


def test_a_request_cannot_change_where_it_goes_by_headers() -> None:
    async def main() -> None:
        async with place(hello) as there, guarded(*LOOPBACK) as client:
            sending = Sending(
                method="POST",
                url=there.url(),
                headers=(("Host", "elsewhere"), ("content-LENGTH", "9"), ("Transfer-Encoding", "x"), ("X-Mine", "1")),
                body=b"{}",
            )
            async with client.send(sending) as answer:
                assert answer.status == 200
                assert b"".join([block async for block in answer.chunks()]) == b"hello"
            head = there.requests[0].lower()
            assert "elsewhere" not in head and "content-length: 2" in head and "x-mine: 1" in head
            assert "transfer-encoding" not in head

    asyncio.run(main())


def test_a_sent_request_follows_no_redirect() -> None:
    async def main() -> None:
        async def away(_path: str, writer: asyncio.StreamWriter) -> None:
            await reply(writer, b"", "Location: http://127.0.0.1:1/", status="307 Temporary Redirect")

        async with (
            place(away) as there,
            guarded(*LOOPBACK) as client,
            client.send(Sending(method="GET", url=there.url())) as answer,
        ):
            assert answer.status == 307 and ("location", "http://127.0.0.1:1/") in answer.headers

    asyncio.run(main())


def test_a_caller_that_leaves_ends_the_request() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def hold(_path: str, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            try:
                while True:
                    await writer.drain()
                    writer.write(b": still here\n\n")
                    await asyncio.sleep(0.01)
            finally:
                gone.set()

        async with place(hold) as there, guarded(*LOOPBACK) as client:
            async with client.send(Sending(method="GET", url=there.url())) as answer:
                async for block in answer.chunks():
                    assert block.startswith(b"data: 1")
                    break
            await asyncio.wait_for(gone.wait(), 5)

    asyncio.run(main())


def test_tls_is_asked_for_by_name_at_the_checked_address() -> None:
    async def main() -> None:
        named: list[str | None] = []
        asked: list[str] = []

        async def lookup(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"]

        def remember(_connection: object, name: str | None, _context: ssl.SSLContext) -> None:
            named.append(name)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = remember
        # It has no certificate: the handshake ends once the name was told.
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with server, guarded("127.0.0.1", lookup=lookup) as client:
            port = server.sockets[0].getsockname()[1]
            error = await refuse(client, f"https://secure.example:{port}/")
        assert error.reason == "unreachable" and named == ["secure.example"] and asked == ["secure.example"]

    asyncio.run(main())
