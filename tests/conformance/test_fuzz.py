"""The request surface under fire: whatever is sent, the answer comes, and it is never the server's fault."""

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import hostile
import pytest
import schemathesis
from hostile_bodies import templates
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plain_http import Answer, Plain
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from servers import Server, serve

FEW, MANY = 12, int(os.environ.get("ONWARD_FUZZ_EXAMPLES", "400"))
"""Examples for each operation in the fast tier, and in the slow one."""
TIERS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]
JSON = {"content-type": "application/json"}


class Target:
    """A server with one object of each kind, so that requests get beyond the 404s."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = Plain(server.port)
        client = server.client()
        self.file = client.files.create(file=("note.txt", b"Words to be found."), purpose="assistants").id
        self.store = client.vector_stores.create().id
        client.vector_stores.files.create_and_poll(self.file, vector_store_id=self.store)
        self.conversation = client.conversations.create(items=[{"role": "user", "content": "hi"}]).id
        self.response = client.responses.create(model="m", input="hi").id
        self.prompt: str = self.http.post("/prompts", {"model": "m", "instructions": "Help {{name}}."}).json()["id"]

    @property
    def ids(self) -> dict[str, str]:
        """Return parameter of a path → an id that exists."""
        return {
            "response_id": self.response,
            "conversation_id": self.conversation,
            "prompt_id": self.prompt,
            "file_id": self.file,
            "store_id": self.store,
            "model": "scripted",
        }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, upstream: Server) -> Iterator[Target]:
    """A server of its own: what is thrown at it fills its state."""
    with ExitStack() as stack:
        environment = {"OPENAI_BASE_URL": upstream.base_url}
        yield Target(stack.enter_context(serve(tmp_path_factory.mktemp("fuzz"), environment)))


def examples(count: int) -> Any:
    """Return settings for `count` reproducible examples, of which only the first failing one is told."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def check(status: int, body: bytes) -> None:
    """Fail where the server is at fault, or an error is not of the contract's shape."""
    assert status < 500, (status, body[:500])
    if status >= 400:
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert error["message"] and isinstance(error["message"], str)
        assert error["type"] != "server_error"
    assert b'"code":"server_error"' not in body, body[-500:]


@pytest.mark.ledger("hostile:openapi")
@pytest.mark.parametrize("count", TIERS)
def test_no_request_made_from_our_own_document_is_a_server_error(target: Target, count: int) -> None:
    schema: Any = schemathesis.openapi.from_url(f"{target.server.url}/openapi.json")
    operations: list[Any] = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) >= 30
    for operation in operations:
        if operation.method == "delete" and operation.path.count("{") == 1:
            continue  # the objects are needed; deleting is fuzzed with ids that do not exist
        modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if operation.body else [GenerationMode.POSITIVE]
        for mode in modes:
            _fuzz(target, operation, mode, count)


def _fuzz(target: Target, operation: Any, mode: GenerationMode, count: int) -> None:
    @examples(count)
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def attempt(case: Any, known: bool) -> None:
        if known:
            case.path_parameters = {**case.path_parameters, **_known(case.path_parameters, target)}
        answer = case.call(base_url=target.server.url, timeout=60)
        check(answer.status_code, answer.content)

    attempt()


def _known(parameters: Any, target: Target) -> dict[str, str]:
    return {name: target.ids[name] for name in parameters if name in target.ids}


@pytest.mark.ledger("hostile:bodies")
@pytest.mark.parametrize("count", TIERS)
@pytest.mark.parametrize("number", range(18))
def test_no_hostile_body_is_a_server_error(target: Target, number: int, count: int) -> None:
    bodies = templates(target.store, target.file, target.conversation, target.prompt)
    path, template = list(bodies.items())[number]
    plain = target.http.request("POST", path, json.dumps(template).encode(), JSON)
    assert plain.status == 200, plain.body

    @examples(count * 2)
    @given(body=hostile.spoiled(template))
    def attempt(body: bytes) -> None:
        answer = target.http.request("POST", path, body, JSON)
        check(answer.status, answer.body)

    attempt()


@pytest.mark.ledger("hostile:imports")
@pytest.mark.parametrize("count", TIERS)
def test_no_hostile_import_is_a_server_error(target: Target, count: int) -> None:
    whole = target.http.get(f"/conversations/{target.conversation}/export").body.splitlines()
    lines = [json.loads(line) for line in (*whole[:2], b'{"role":"user","content":"x"}', whole[-1])]

    @examples(count * 2)
    @given(data=st.data(), place=st.integers(0, len(lines) - 1))
    def attempt(data: st.DataObject, place: int) -> None:
        written = [json.dumps(line).encode() for line in lines]
        written[place] = data.draw(hostile.spoiled(lines[place]))
        answer = target.http.request("POST", "/conversations/import?new_id=true", b"\n".join(written))
        check(answer.status, answer.body)

    attempt()


IDS = [
    "%00", "%2F", "..%2F..%2Fetc", "%ff%fe", "%F0%9F%A4%AF", "a" * 5000, "%20", "resp_%0d%0aX-Injected:1", ";", "%25",
    "resp_" + "z" * 64, "conv_%ED%A0%80", "vs_0", "file-%27", "~", "%3F", "%23", "*", "undefined", "null",
]  # fmt: skip
PATHS = [
    ("GET", "/responses/{}"), ("DELETE", "/responses/{}"), ("GET", "/responses/{}/input_items"),
    ("POST", "/responses/{}/cancel"), ("GET", "/conversations/{}"), ("DELETE", "/conversations/{}"),
    ("GET", "/conversations/{}/items"), ("GET", "/conversations/{conversation}/items/{}"),
    ("DELETE", "/conversations/{conversation}/items/{}"), ("GET", "/files/{}"), ("DELETE", "/files/{}"),
    ("GET", "/files/{}/content"), ("GET", "/vector_stores/{}"), ("DELETE", "/vector_stores/{}"),
    ("GET", "/vector_stores/{}/files"), ("GET", "/vector_stores/{store}/files/{}"),
    ("GET", "/vector_stores/{store}/files/{}/content"), ("DELETE", "/vector_stores/{store}/files/{}"),
    ("GET", "/vector_stores/{store}/file_batches/{}"), ("GET", "/vector_stores/{store}/file_batches/{}/files"),
    ("POST", "/vector_stores/{store}/file_batches/{}/cancel"), ("GET", "/models/{}"),
    ("GET", "/prompts/{}"), ("DELETE", "/prompts/{}"), ("GET", "/prompts/{}/versions"),
    ("GET", "/prompts/{prompt}/versions/{}"), ("GET", "/conversations/{}/export"),
]  # fmt: skip


@pytest.mark.ledger("hostile:ids")
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_an_id_of_any_characters_is_not_found(target: Target, method: str, path: str) -> None:
    for text in IDS:
        filled = path.format(text, conversation=target.conversation, store=target.store, prompt=target.prompt)
        answer = target.http.request(method, filled)
        check(answer.status, answer.body)
        # A name that nobody here knows is passed on to the upstream, so that a model of that name is there.
        passed_on = path == "/models/{}" and answer.status == 200
        assert passed_on or answer.status in (400, 404, 405), (filled, answer.status)
        assert "x-injected" not in answer.headers


LISTS = [
    "/responses/{response}/input_items", "/conversations/{conversation}/items", "/files", "/vector_stores",
    "/vector_stores/{store}/files", "/responses/{response}", "/models", "/conversations", "/prompts",
    "/prompts/{prompt}/versions",
]  # fmt: skip
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "limit",
                "order",
                "after",
                "before",
                "include",
                "include[]",
                "include[0]",
                "filter",
                "purpose",
                "metadata[a]",
            ]
        ),
        st.one_of(
            st.sampled_from(["", "0", "-1", "1e9", "9" * 40, "NaN", "asc", "desc", "\0", "٣", "msg_1", "file-", "[*]"]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        ),
    ),
    max_size=4,
)


@pytest.mark.ledger("hostile:queries")
@pytest.mark.parametrize("count", TIERS)
@pytest.mark.parametrize("path", LISTS)
def test_no_query_string_is_a_server_error(target: Target, path: str, count: int) -> None:
    filled = path.format(
        response=target.response, conversation=target.conversation, store=target.store, prompt=target.prompt
    )

    @examples(count * 3)
    @given(pairs=QUERIES)
    def attempt(pairs: list[tuple[str, str]]) -> None:
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
        answer = target.http.request("GET", f"{filled}?{query}")
        check(answer.status, answer.body)

    attempt()


@pytest.mark.ledger("hostile:transport")
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b'{"model":"m","input":"hi"}'),
        ({"content-type": "text/plain"}, b'{"model":"m","input":"hi"}'),
        ({"content-type": "application/json; charset=utf-16"}, '{"model":"m","input":"hi"}'.encode("utf-16")),
        ({"content-type": "application/x-www-form-urlencoded"}, b"model=m&input=hi"),
        ({"content-type": "multipart/form-data"}, b"--x\r\n\r\n"),
        ({"content-type": "multipart/form-data; boundary="}, b"----\r\n"),
        ({"content-encoding": "gzip", **JSON}, b"\x1f\x8b\x08garbage"),
        ({"content-type": "application/json", "expect": "nonsense"}, b"{}"),
        ({"authorization": "Basic \xff\xfe", **JSON}, b"{}"),
        ({"authorization": "Bearer", **JSON}, b"{}"),
        ({"openai-project": "~" * 5000, **JSON}, b"{}"),
        ({"accept": "image/png", "x-stainless-retry-count": "NaN", **JSON}, b'{"model":"m","input":"hi"}'),
    ],
)  # fmt: skip
def test_odd_headers_are_served_or_refused(target: Target, headers: dict[str, str], body: bytes) -> None:
    for path in ("/responses", "/files", "/conversations", f"/vector_stores/{target.store}/search"):
        answer = target.http.request("POST", path, body, headers)
        check(answer.status, answer.body)


@pytest.mark.ledger("hostile:chunked")
def test_a_chunked_body_is_a_body(target: Target) -> None:
    whole = json.dumps({"model": "m", "input": "hi", "store": False}).encode()
    pieces = [whole[start : start + 5] for start in range(0, len(whole), 5)]
    assert target.http.request("POST", "/responses", pieces, JSON).status == 200
    bad = target.http.request("POST", "/responses", [b'{"mod', b"el"], JSON)
    assert bad.status == 400 and bad.error()["type"] == "invalid_request_error"


@pytest.mark.ledger("hostile:methods")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "DELETE"])
def test_methods_that_are_not_served_are_refused(target: Target, method: str) -> None:
    for path in ("/responses", "/files", "/nothing", "/vector_stores", "/conversations"):
        answer = target.http.request(method, path)
        assert answer.status in (404, 405) or method in ("HEAD", "OPTIONS"), (path, answer.status)
        assert answer.status < 500
        if method != "HEAD":
            check(answer.status, answer.body)


@pytest.mark.ledger("hostile:auth")
@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "bearer sk-x", "Basic c2s6", "Bearer " + "x" * 7000, "sk-x\t"]
)
def test_a_credential_that_is_none_is_a_401_for_every_operation(serve_here: Any, value: str) -> None:
    plain = Plain(serve_here(ONWARD_API_KEY="sk-preset-0123456789").port)
    for method, path in [*PATHS[:3], ("POST", "/responses"), ("POST", "/files"), ("GET", "/nothing")]:
        answer = plain.request(method, path.format("x"), b"{}" if method == "POST" else b"", {"authorization": value})
        assert answer.status == 401, (path, answer.status)
        check(answer.status, answer.body)
        assert value[7:] not in answer.error()["message"] or len(value) < 12


@pytest.mark.ledger("hostile:still_well")
def test_after_all_that_the_server_still_works(target: Target) -> None:
    client = target.server.client()
    assert client.responses.create(model="m", input="hello").output_text == "You said: hello"
    assert client.vector_stores.search(target.store, query="words to be found").data[0].file_id == target.file
    connection = http.client.HTTPConnection("127.0.0.1", target.server.port, timeout=10)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    assert Answer(answer.status, dict(answer.getheaders()), answer.read()).status == 200
    connection.close()
