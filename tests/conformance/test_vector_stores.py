"""`/v1/vector_stores` as the real SDK sees it: objects, polling helpers, batches, search, errors, restarts."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFileBatch
from plain_http import Plain
from servers import Server

POLICY = (
    "# Refund policy\n\nPartial refunds are given within thirty days for goods that were opened but not used.\n\n"
    "## Digital goods\n\nDigital goods are refunded only before they are downloaded.\n"
)


@pytest.fixture
def strict(server: Server) -> Iterator[OpenAI]:
    """The SDK with every body checked against its types."""
    options = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    with OpenAI(**options, _strict_response_validation=True) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture
def raw(server: Server) -> Plain:
    return Plain(server.port)


def upload(client: OpenAI, text: str, name: str = "note.txt") -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


def stocked(client: OpenAI, *texts: str) -> tuple[VectorStore, list[str]]:
    """Return a store with one ingested file for each text."""
    store = client.vector_stores.create()
    files = [upload(client, text, f"note{number}.txt") for number, text in enumerate(texts)]
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=files)
    assert batch.status == "completed" and batch.file_counts.completed == len(texts)
    return store, files


@pytest.mark.ledger("vector_stores:objects")
def test_a_store_has_the_fields_of_the_contract(strict: OpenAI) -> None:
    store = strict.vector_stores.create(
        name="kb",
        metadata={"a": "b"},
        expires_after={"anchor": "last_active_at", "days": 7},
        extra_body={"description": "docs"},  # no parameter of the 1.x line
    )
    assert store.id.startswith("vs_") and store.object == "vector_store" and store.name == "kb"
    assert store.status == "completed" and store.usage_bytes == 0 and store.file_counts.total == 0
    assert store.expires_after is not None and store.expires_after.days == 7
    assert store.expires_at is not None and store.last_active_at is not None
    assert store.expires_at - store.last_active_at == 7 * 86_400
    assert strict.vector_stores.retrieve(store.id) == store
    changed = strict.vector_stores.update(store.id, name="new", metadata={"c": "d"}, expires_after=None)
    assert changed.name == "new" and changed.metadata == {"c": "d"} and changed.expires_after is None
    assert strict.vector_stores.update(store.id, name=None).name == "new"
    deleted = strict.vector_stores.delete(store.id)
    assert deleted.deleted and deleted.object == "vector_store.deleted"
    with pytest.raises(openai.NotFoundError) as missing:
        strict.vector_stores.retrieve(store.id)
    assert f"Vector store with id '{store.id}' not found." in missing.value.message


@pytest.mark.ledger("vector_stores:polling")
def test_the_polling_helpers_just_work(strict: OpenAI) -> None:
    store = strict.vector_stores.create(name="kb")
    started = time.monotonic()
    file = strict.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("policy.md", POLICY.encode()))
    assert file.status == "completed" and file.last_error is None and file.usage_bytes > 0
    assert file.object == "vector_store.file" and file.vector_store_id == store.id
    assert file.chunking_strategy is not None and file.chunking_strategy.type == "static"
    again = strict.vector_stores.files.create_and_poll(
        upload(strict, "Whales are mammals."),
        vector_store_id=store.id,
        attributes={"kind": "fact", "n": 3, "ok": True},
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}},
    )
    assert again.status == "completed" and again.attributes == {"kind": "fact", "n": 3, "ok": True}
    assert again.chunking_strategy is not None and again.chunking_strategy.type == "static"
    assert again.chunking_strategy.static.max_chunk_size_tokens == 200
    now = strict.vector_stores.retrieve(store.id)
    assert now.file_counts.completed == now.file_counts.total == 2
    assert now.usage_bytes == file.usage_bytes + again.usage_bytes
    assert time.monotonic() - started < 60


@pytest.mark.ledger("vector_stores:poll_after")
def test_the_server_paces_the_polling(raw: Plain, client: OpenAI) -> None:
    store = client.vector_stores.create()
    files = [upload(client, f"text {number}") for number in range(20)]
    answer = raw.post(f"/vector_stores/{store.id}/file_batches", {"file_ids": files})
    assert answer.status == 200 and answer.json()["file_counts"]["total"] == 20
    assert 100 <= int(answer.headers["openai-poll-after-ms"]) <= 500
    batch = client.vector_stores.file_batches.poll(answer.json()["id"], vector_store_id=store.id)
    assert batch.file_counts.completed == 20
    done = raw.get(f"/vector_stores/{store.id}/file_batches/{batch.id}")
    assert "openai-poll-after-ms" not in done.headers


@pytest.mark.ledger("vector_stores:file_errors")
def test_a_file_that_cannot_be_read_fails_with_a_reason(strict: OpenAI) -> None:
    store = strict.vector_stores.create()
    for name, data, code in (
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "unsupported_file"),
        ("b.pdf", b"%PDF-1.4 broken", "invalid_file"),
    ):
        file = strict.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, data))
        assert file.status == "failed" and file.last_error is not None
        assert file.last_error.code == code and file.last_error.message
    assert strict.vector_stores.retrieve(store.id).file_counts.failed == 2
    assert strict.vector_stores.retrieve(store.id).status == "completed"


@pytest.mark.ledger("vector_stores:batch_files")
def test_batches_take_files_with_settings_of_their_own(strict: OpenAI) -> None:
    store = strict.vector_stores.create()
    one, two = upload(strict, "Text one."), upload(strict, "Text two.")
    batch = strict.post(  # the 1.x line has no parameter `files`
        f"/vector_stores/{store.id}/file_batches",
        cast_to=VectorStoreFileBatch,
        body={"files": [{"file_id": one, "attributes": {"n": 1}}, {"file_id": two, "attributes": {"n": 2}}]},
    )
    assert batch.object == "vector_store.files_batch" and batch.id.startswith("vsfb_")
    done = strict.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id)
    assert done.status == "completed" and done.file_counts.completed == 2
    listed = strict.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="completed")
    assert {file.id: file.attributes for file in listed} == {one: {"n": 1}, two: {"n": 2}}
    empty = strict.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    assert empty.data == []
    assert strict.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id).status == "completed"


@pytest.mark.ledger("vector_stores:shared_files")
def test_a_file_that_is_attached_again_stays_in_its_first_batch(strict: OpenAI) -> None:
    store, batches = strict.vector_stores.create(), strict.vector_stores.file_batches
    files = [upload(strict, f"Text number {number}.") for number in range(3)]
    first = batches.create_and_poll(store.id, file_ids=files)
    assert first.file_counts.completed == first.file_counts.total == 3
    second = batches.create_and_poll(store.id, file_ids=files[:2])
    assert second.status == "completed" and second.file_counts.completed == second.file_counts.total == 2
    strict.vector_stores.files.create_and_poll(files[2], vector_store_id=store.id)
    again = batches.retrieve(first.id, vector_store_id=store.id)
    assert again == first
    assert {file.id for file in batches.list_files(first.id, vector_store_id=store.id)} == set(files)
    assert {file.id for file in batches.list_files(second.id, vector_store_id=store.id)} == set(files[:2])
    assert strict.vector_stores.retrieve(store.id).file_counts.total == 3


@pytest.mark.ledger("vector_stores:batch_upload")
def test_a_batch_is_uploaded_and_awaited_in_one_call(strict: OpenAI) -> None:
    store = strict.vector_stores.create()
    files = [(f"note{number}.txt", f"Text number {number}.".encode()) for number in range(7)]
    batch = strict.vector_stores.file_batches.upload_and_poll(store.id, files=files)
    assert batch.status == "completed" and batch.file_counts.completed == 7
    names = {strict.files.retrieve(file.id).filename for file in strict.vector_stores.files.list(store.id)}
    assert names == {name for name, _ in files}


@pytest.mark.ledger("vector_stores:batch_cancel")
def test_a_cancelled_batch_stops(strict: OpenAI) -> None:
    store = strict.vector_stores.create()
    text = " ".join(f"Sentence {n} of a long text that takes its time." for n in range(3000))
    files = [upload(strict, f"{number} {text}") for number in range(4)]
    batch = strict.vector_stores.file_batches.create(store.id, file_ids=files)
    cancelled = strict.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert cancelled.status == "cancelled" and cancelled.file_counts.in_progress == 0
    assert cancelled.file_counts.cancelled + cancelled.file_counts.completed == 4
    assert strict.vector_stores.retrieve(store.id).status == "completed"


@pytest.mark.ledger("vector_stores:search")
def test_search_returns_passages_with_scores(strict: OpenAI) -> None:
    store, files = stocked(strict, POLICY, "Whales are mammals of the sea.", "Der Wal ist ein Säugetier.")
    page = strict.vector_stores.search(store.id, query="refund for digital goods")
    best = page.data[0]
    assert page.object == "vector_store.search_results.page"
    assert best.file_id == files[0] and best.filename == "note0.txt" and 0 < best.score <= 1
    assert best.content[0].type == "text" and "Digital goods" in best.content[0].text
    scores = [result.score for result in page.data]
    assert scores == sorted(scores, reverse=True)
    assert len(strict.vector_stores.search(store.id, query="whales", max_num_results=1).data) == 1
    several = strict.vector_stores.search(store.id, query=["whales", "sea"], rewrite_query=False)
    assert several.data[0].file_id == files[1]
    strong = strict.vector_stores.search(
        store.id, query="refunds", ranking_options={"score_threshold": 0.5, "ranker": "auto"}
    )
    assert {result.file_id for result in strong.data} == {files[0]}
    text = strict.vector_stores.files.content(files[1], vector_store_id=store.id)
    assert [piece.text for piece in text.data] == ["Whales are mammals of the sea."]


@pytest.mark.ledger("vector_stores:filters")
def test_filters_select_by_attributes_and_follow_their_changes(strict: OpenAI) -> None:
    store, files = stocked(strict, "The text of January.", "The text of February.", "The text of March.")
    for number, file in enumerate(files):
        attributes: dict[str, str | float | bool] = {
            "month": number + 1,
            "season": "winter" if number < 2 else "spring",
        }
        changed = strict.vector_stores.files.update(file, vector_store_id=store.id, attributes=attributes)
        assert changed.attributes == attributes and changed.status == "completed"

    def matching(filters: object) -> list[int]:
        found = strict.vector_stores.search(store.id, query="text", filters=filters)  # type: ignore[arg-type]
        return sorted(files.index(result.file_id) for result in found.data)

    winter = {"type": "eq", "key": "season", "value": "winter"}
    assert matching(winter) == [0, 1]
    assert matching({"type": "gt", "key": "month", "value": 1}) == [1, 2]
    assert matching({"type": "in", "key": "month", "value": [1, 3]}) == [0, 2]
    assert matching({"type": "nin", "key": "month", "value": [1, 3]}) == [1]
    nested = {"type": "or", "filters": [{"type": "eq", "key": "month", "value": 3}, {"type": "and", "filters": [
        winter, {"type": "lte", "key": "month", "value": 1}]}]}  # fmt: skip
    assert matching(nested) == [0, 2]
    strict.vector_stores.files.update(files[2], vector_store_id=store.id, attributes={"season": "winter"})
    assert matching(winter) == [0, 1, 2]


@pytest.mark.ledger("vector_stores:last_active_at")
def test_search_counts_as_use(client: OpenAI) -> None:
    store, _ = stocked(client, "Some text.")
    before = client.vector_stores.retrieve(store.id).last_active_at
    assert before is not None
    time.sleep(2.1)
    client.vector_stores.search(store.id, query="text")
    after = client.vector_stores.retrieve(store.id).last_active_at
    assert after is not None and after > before


@pytest.mark.ledger("vector_stores:lists")
def test_lists_page_and_filter(strict: OpenAI, raw: Plain) -> None:
    store, files = stocked(strict, "one", "two", "three")
    page = strict.vector_stores.files.list(store.id, limit=2, order="asc")
    assert [file.id for file in page.data] == files[:2] and page.has_more
    assert [file.id for file in page.get_next_page().data] == files[2:]
    before = strict.vector_stores.files.list(store.id, order="asc", before=files[2])
    assert [file.id for file in before.data] == files[:2]
    assert strict.vector_stores.files.list(store.id, filter="failed").data == []
    assert raw.get(f"/vector_stores/{store.id}/files", {"filter": "odd"}).status == 400
    newer = strict.vector_stores.create(name="newer")
    ids = [one.id for one in strict.vector_stores.list(limit=2).data]
    assert ids == [newer.id, store.id]
    deleted = strict.vector_stores.files.delete(files[0], vector_store_id=store.id)
    assert deleted.deleted and deleted.object == "vector_store.file.deleted" and deleted.id == files[0]
    assert strict.files.retrieve(files[0]).id == files[0]
    assert files[0] not in [result.file_id for result in strict.vector_stores.search(store.id, query="one").data]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("", {"name": "x" * 257}, "name"),
    ("", {"name": 1}, "name"),
    ("", {"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
    ("", {"metadata": {"a": 1}}, "metadata.a"),
    ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
    ("", {"expires_after": {"anchor": "last_active_at"}}, "expires_after.days"),
    ("", {"file_ids": ["file-a"] * 2 + [f"file-{n}" for n in range(501)]}, "file_ids"),
    ("", {"chunking_strategy": {"type": "other"}}, "chunking_strategy.type"),
    ("/{id}/files", {}, "file_id"),
    ("/{id}/files", {"file_id": 7}, "file_id"),
    ("/{id}/files", {"file_id": "f", "attributes": {"a": None}}, "attributes.a"),
    ("/{id}/files", {"file_id": "f", "attributes": {"a": "x" * 513}}, "attributes.a"),
    (
        "/{id}/files",
        {
            "file_id": "f",
            "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}},
        },
        "chunking_strategy.static.max_chunk_size_tokens",
    ),
    ("/{id}/file_batches", {}, "file_ids"),
    ("/{id}/file_batches", {"file_ids": []}, "file_ids"),
    ("/{id}/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, "files"),
    ("/{id}/file_batches", {"file_ids": [str(n) for n in range(2001)]}, "file_ids"),
    ("/{id}/search", {}, "query"),
    ("/{id}/search", {"query": ""}, "query"),
    ("/{id}/search", {"query": []}, "query"),
    ("/{id}/search", {"query": "a", "max_num_results": 0}, "max_num_results"),
    ("/{id}/search", {"query": "a", "max_num_results": 51}, "max_num_results"),
    ("/{id}/search", {"query": "a", "filters": {"type": "near", "key": "a", "value": 1}}, "filters.type"),
    ("/{id}/search", {"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
]


@pytest.mark.ledger("vector_stores:limits")
@pytest.mark.parametrize(("path", "body", "param"), BAD)
def test_bad_requests_name_the_field(client: OpenAI, raw: Plain, path: str, body: object, param: str) -> None:
    store = client.vector_stores.create()
    answer = raw.post("/vector_stores" + path.format(id=store.id), body)
    assert answer.status == 400, answer.body
    error = answer.error()
    assert error["param"] == param and error["type"] == "invalid_request_error"


@pytest.mark.ledger("vector_stores:unknown")
def test_unknown_ids_are_404(client: OpenAI) -> None:
    store = client.vector_stores.create()
    stores, files, batches = client.vector_stores, client.vector_stores.files, client.vector_stores.file_batches
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: stores.search("vs_no", query="x"), "Vector store with id 'vs_no' not found."),
        (lambda: stores.update("vs_no", name="x"), "Vector store with id 'vs_no' not found."),
        (lambda: files.list("vs_no"), "Vector store with id 'vs_no' not found."),
        (lambda: files.create("vs_no", file_id="file-x"), "Vector store with id 'vs_no' not found."),
        (lambda: files.create(store.id, file_id="file-no"), "No such File object: file-no"),
        (lambda: batches.create(store.id, file_ids=["file-no"]), "No such File object: file-no"),
        (lambda: batches.retrieve("vsfb_no", vector_store_id=store.id), "No file batch found with id 'vsfb_no'"),
        (lambda: files.retrieve("file-no", vector_store_id=store.id), "No file found with id 'file-no'"),
        (lambda: files.content("file-no", vector_store_id=store.id), "No file found with id 'file-no'"),
    ]
    for use, words in cases:
        with pytest.raises(openai.NotFoundError) as missing:
            use()
        assert words in missing.value.message


@pytest.mark.ledger("vector_stores:crash")
def test_a_killed_server_finishes_its_files_after_restart(serve_here: Callable[..., Server]) -> None:
    first = serve_here()
    text = " ".join(f"Sentence {n} tells of the topic {n % 11} and of nothing else." for n in range(1200))
    with first.client() as client:
        store = client.vector_stores.create()
        files = [upload(client, f"{number} {text}", f"long{number}.txt") for number in range(2)]
        files.append(upload(client, "A short one about whales.", "short.txt"))
        client.vector_stores.file_batches.create(store.id, file_ids=files)
    first.kill()
    second = serve_here(data=first.data)
    with second.client() as client:
        for file in files:
            done = client.vector_stores.files.poll(file, vector_store_id=store.id)
            assert done.status == "completed" and done.last_error is None
        assert client.vector_stores.search(store.id, query="whales").data[0].file_id == files[2]
        assert client.vector_stores.retrieve(store.id).file_counts.completed == 3
