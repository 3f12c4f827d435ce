"""`/v1/files` as the real SDK and raw HTTP see it: fields, limits, errors, paging, streaming, deletion."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from plain_http import BOUNDARY, Part, Plain
from servers import Server

MAX_FILE_BYTES = 512 * 1024 * 1024


@pytest.fixture
def strict(server: Server) -> Iterator[OpenAI]:
    """The SDK with every body checked against its types."""
    options = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    with OpenAI(**options, _strict_response_validation=True) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture
def raw(server: Server) -> Plain:
    return Plain(server.port)


def blobs_of(server: Server) -> set[Path]:
    return {path for path in (server.data / "blobs").rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.ledger("files:round_trip")
def test_a_file_comes_back_as_it_was_sent(strict: OpenAI) -> None:
    data = os.urandom(3_000_000)
    before = int(time.time())
    file = strict.files.create(file=('été "1".bin', data), purpose="user_data")
    assert file.id.startswith("file-") and file.object == "file" and file.status == "processed"
    assert file.bytes == len(data) and file.filename == 'été "1".bin' and file.purpose == "user_data"
    assert before <= file.created_at <= time.time() + 1 and file.expires_at is None
    assert strict.files.retrieve(file.id) == file
    assert strict.files.content(file.id).read() == data
    assert strict.files.wait_for_processing(file.id).status == "processed"
    deleted = strict.files.delete(file.id)
    assert deleted.id == file.id and deleted.deleted and deleted.object == "file"


@pytest.mark.ledger("files:purposes")
@pytest.mark.ledger("files:expiry_limits")
@pytest.mark.ledger("files:missing")
@pytest.mark.ledger("files:malformed")
@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data"])
def test_purposes_are_kept_and_filter_lists(strict: OpenAI, purpose: str) -> None:
    file = strict.files.create(file=("a.jsonl", b"{}"), purpose=purpose)  # type: ignore[arg-type]
    assert file.purpose == purpose
    assert (file.expires_at is not None) == (purpose == "batch")
    assert file.id in [one.id for one in strict.files.list(purpose=purpose)]
    assert file.id not in [one.id for one in strict.files.list(purpose="assistants_output")]
    assert strict.files.content(file.id).read() == b"{}"


@pytest.mark.ledger("files:expiry")
def test_files_expire_when_told(strict: OpenAI) -> None:
    expiry = {"anchor": "created_at", "seconds": 3600}
    file = strict.files.create(file=("a.txt", b"x"), purpose="assistants", expires_after=expiry)  # type: ignore[arg-type]
    assert file.expires_at is not None and abs(file.expires_at - file.created_at - 3600) <= 1


@pytest.mark.parametrize(
    ("expiry", "param"),
    [
        ({"anchor": "created_at", "seconds": 3599}, "expires_after.seconds"),
        ({"anchor": "created_at", "seconds": 2592001}, "expires_after.seconds"),
        ({"anchor": "created_at", "seconds": "soon"}, "expires_after.seconds"),
        ({"anchor": "created_at"}, "expires_after.seconds"),
        ({"anchor": "last_active_at", "seconds": 3600}, "expires_after.anchor"),
        ({"seconds": 3600}, "expires_after.anchor"),
    ],
)
def test_a_wrong_expiry_is_refused(client: OpenAI, expiry: dict[str, object], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.txt", b"x"), purpose="assistants", expires_after=expiry)  # type: ignore[arg-type]
    assert refused.value.param == param


@pytest.mark.ledger("files:pages")
def test_pages_have_the_form_and_the_limits_of_the_contract(strict: OpenAI, raw: Plain) -> None:
    made = [strict.files.create(file=(f"{n}.txt", b"x"), purpose="evals" if n < 0 else "vision").id for n in range(5)]
    newest = made[::-1]
    page = strict.files.list(limit=2, purpose="vision")
    assert [file.id for file in page.data] == newest[:2] and page.has_more
    assert [file.id for file in page.get_next_page().data] == newest[2:4]
    assert [file.id for file in strict.files.list(order="asc", after=made[2], purpose="vision")][:2] == made[3:]
    body = raw.get("/files", {"limit": 2, "purpose": "vision"}).json()
    assert body["object"] == "list" and body["first_id"] == newest[0] and body["last_id"] == newest[1]
    strict.files.delete(newest[1])
    after = strict.files.list(limit=2, after=newest[1], purpose="vision")
    assert [file.id for file in after.data] == newest[2:4]
    assert raw.get("/files", {"limit": 10_000}).status == 200
    wrong: list[dict[str, object]] = [{"limit": 0}, {"limit": 10_001}, {"limit": "x"}, {"order": "up"}]
    for query in wrong:
        refused = raw.get("/files", query)
        assert refused.status == 400 and refused.error()["param"] == next(iter(query))


@pytest.mark.ledger("files:unknown")
def test_unknown_files_are_named(client: OpenAI) -> None:
    for use in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError) as missing:
            use("file-nope")
        assert missing.value.param == "id"
        assert missing.value.body == {
            "message": "No such File object: file-nope",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }


@pytest.mark.ledger("files:names")
def test_a_name_keeps_its_joiners_and_loses_control_characters(client: OpenAI) -> None:
    for given, kept in (
        ("👩\u200d🔧 \u0645\u06cc\u200c.txt", "👩\u200d🔧 \u0645\u06cc\u200c.txt"),
        ("a\u202eb.txt", "ab.txt"),
    ):
        assert client.files.create(file=(given, b"x"), purpose="user_data").filename == kept


@pytest.mark.ledger("files:field_order")
def test_fields_may_stand_in_any_order(raw: Plain) -> None:
    file, purpose, unknown = ("file", "a.txt", b"x"), ("purpose", None, b"assistants"), ("unknown", None, b"1")
    for parts in ([file, purpose], [purpose, unknown, file], [unknown, file, purpose]):
        answer = raw.form("/files", parts)
        assert answer.status == 200 and answer.json()["bytes"] == 1


FILE: Part = ("file", "a.txt", b"x")
PURPOSE: Part = ("purpose", None, b"assistants")


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([FILE], "purpose"),
        ([PURPOSE], "file"),
        ([FILE, ("purpose", None, b"nonsense")], "purpose"),
        ([("file", "a.txt", b""), PURPOSE], "file"),
        ([FILE, FILE, PURPOSE], "file"),
        ([], "file"),
    ],
)
def test_what_is_missing_is_said(raw: Plain, server: Server, parts: list[Part], param: str) -> None:
    before = blobs_of(server)
    answer = raw.form("/files", parts)
    assert answer.status == 400, answer.body
    assert answer.error()["param"] == param and answer.error()["type"] == "invalid_request_error"
    assert blobs_of(server) == before


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"purpose": "assistants"}', "application/json"),
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"nothing of a form", "multipart/form-data; boundary=x"),
        (b"x", "multipart/form-data"),
        (b"", ""),
    ],
)
def test_what_is_no_form_is_refused(raw: Plain, body: bytes, content_type: str) -> None:
    answer = raw.request("POST", "/files", body, {"content-type": content_type})
    assert answer.status == 400 and answer.error()["message"]


@pytest.mark.ledger("files:interrupted")
def test_an_interrupted_upload_leaves_nothing(server: Server, client: OpenAI) -> None:
    before, files = blobs_of(server), [file.id for file in client.files.list()]
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\ncontent-length: 100000000\r\n"
        "content-type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + b"y" * 5_000_000)
        deadline = time.monotonic() + 10
        while blobs_of(server) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert blobs_of(server) != before
    while blobs_of(server) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert blobs_of(server) == before
    assert [file.id for file in client.files.list()] == files


@pytest.mark.ledger("files:too_large")
def test_a_file_that_is_too_large_is_refused_while_it_streams(raw: Plain, server: Server) -> None:
    before = blobs_of(server)
    piece = b"z" * (1 << 20)

    def body() -> Iterator[bytes]:
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
        for _ in range(MAX_FILE_BYTES // len(piece)):
            yield piece
        yield b"one too many\r\n"
        yield f"--{BOUNDARY}--\r\n".encode()

    answer = raw.request("POST", "/files", body(), {"content-type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert answer.status == 413 and answer.error()["param"] == "file"
    assert blobs_of(server) == before


@pytest.mark.ledger("files:streamed")
def test_memory_stays_small_while_a_large_file_comes_and_goes(server: Server, client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as handle:
        handle.truncate(200 * 1024 * 1024)

    def peak() -> int:
        status = Path(f"/proc/{server.process.pid}/status")
        return int(status.read_text().split("VmHWM:")[1].split()[0]) if status.exists() else 0

    before = peak()
    file = client.files.create(file=path, purpose="user_data")
    with client.files.with_streaming_response.content(file.id) as content:
        assert sum(len(chunk) for chunk in content.iter_bytes(1 << 20)) == 200 * 1024 * 1024
    assert peak() - before < 60_000, "kB of memory beyond what the server held before"
    client.files.delete(file.id)


@pytest.mark.ledger("files:delete_cascade")
def test_deleting_a_file_takes_it_out_of_every_store(client: OpenAI) -> None:
    file = client.files.create(file=("whales.txt", b"Whales are mammals of the sea."), purpose="assistants")
    stores = [client.vector_stores.create(file_ids=[file.id]).id for _ in range(2)]
    for store in stores:
        assert client.vector_stores.files.poll(file.id, vector_store_id=store).status == "completed"
        assert client.vector_stores.search(store, query="whales").data
    client.files.delete(file.id)
    for store in stores:
        assert client.vector_stores.search(store, query="whales").data == []
        assert client.vector_stores.retrieve(store).file_counts.total == 0
        assert client.vector_stores.files.list(store).data == []
        with pytest.raises(openai.NotFoundError):
            client.vector_stores.files.retrieve(file.id, vector_store_id=store)
