"""The OpenAPI document says what the handlers read."""

from inspect import unwrap
from typing import Any

from starlette.routing import Route

from onward.api.openapi import BODIES, CONTENT, QUERIES, describe
from onward.wiring import routes

DOCUMENT = describe(routes())


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def limit(path: str) -> int:
    (schema,) = [one["schema"] for one in operation("get", path)["parameters"] if one["name"] == "limit"]
    return int(schema["maximum"])


def test_pages_and_media_types_are_those_of_the_contract() -> None:
    assert limit("/v1/files") == 10_000
    assert limit("/v1/vector_stores/{store_id}/files") == 100
    assert set(operation("post", "/v1/responses")["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    names = {one["name"] for one in operation("post", "/v1/conversations/{conversation_id}/items")["parameters"]}
    assert names == {"conversation_id", "include[]"}


def test_what_is_described_is_served() -> None:
    served: set[Any] = {unwrap(route.endpoint) for route in routes() if isinstance(route, Route)}
    assert {*BODIES, *QUERIES, *CONTENT} <= served


def test_operations_have_ids_of_their_own_and_a_summary() -> None:
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations)
