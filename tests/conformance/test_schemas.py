"""JSON schemas of functions and formats: what OpenAI refuses is refused in its words, what clients send is taken."""

from enum import Enum
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

TEXT: Any = {"type": "string"}


def closed(**properties: Any) -> Any:
    """Return an object's schema as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


NO_SCHEMAS: list[tuple[Any, str]] = [
    ({"type": "objekt"}, "In context=(), 'type': 'objekt' is not one of 'string'"),
    ({"type": "array", "items": TEXT}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."),
    ({"type": "object", "properties": ["a"]}, "In context=(), 'properties': ['a'] is not of type 'object'."),
    ({"type": "object", "properties": {"a": "text"}}, "In context=('properties', 'a'), 'text' is not of type"),
    ({"type": "object", "properties": {"a": {"type": "any"}}}, "In context=('properties', 'a'), 'type': 'any'"),
    ({"type": "object", "properties": {"a": {"type": [TEXT]}}}, "In context=('properties', 'a'), 'type': "),
    ({"type": "object", "required": "a"}, "'required': 'a' is not an array of strings."),
    ({"type": "object", "properties": {"a": {"enum": "x"}}}, "'enum': 'x' is not of type 'array'."),
    ({"type": "object", "properties": {"a": {"anyOf": []}}}, "'anyOf': [] is not an array of schemas"),
    ({"type": "object", "properties": {"a": {"minLength": -1}}}, "'minLength': -1 is not a whole number"),
    ({"type": "object", "properties": {"a": {"type": "array", "items": {"type": 3}}}}, "('properties', 'a', 'items')"),
]
NOT_STRICT: list[tuple[Any, str]] = [
    ({}, "schema must have a 'type' key."),
    ({"type": "object", "properties": {}}, "In context=(), 'additionalProperties' is required to be supplied and"),
    (closed(a=TEXT) | {"required": []}, "including every key in properties. Missing 'a'."),
    (closed(a=TEXT) | {"required": ["a", "b"]}, "Extra required key 'b' supplied."),
    (closed(a={"type": "object", "properties": {}}), "In context=('properties', 'a'), 'additionalProperties' is"),
    (closed(a={"allOf": [TEXT]}), "In context=('properties', 'a'), 'allOf' is not permitted."),
    (closed(a={"oneOf": [TEXT]}), "'oneOf' is not permitted."),
    (closed(a={"description": "anything"}), "In context=('properties', 'a'), schema must have a 'type' key."),
    (closed(a={"type": "array"}), "In context=('properties', 'a'), array schema missing items."),
    (closed(a={"$ref": "#/$defs/Gone"}), "reference to component '#/$defs/Gone' which was not found in the schema."),
    (closed(a={"anyOf": [TEXT, {"type": ["object", "null"]}]}), "In context=('properties', 'a', 'anyOf', '1'), "),
    ({"anyOf": [closed(a=TEXT)]}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
]


def function(parameters: Any, **more: Any) -> Any:
    return {"type": "function", "name": "look_up", "parameters": parameters, **more}


def form(schema: Any, **more: Any) -> Any:
    return {"format": {"type": "json_schema", "name": "answer", "schema": schema, **more}}


def said(error: openai.APIStatusError) -> str:
    """Return the message of an error as the server sent it; older SDKs show the body's representation."""
    return error.response.json()["error"]["message"]


@pytest.mark.ledger("functions:schemas")
@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize(("schema", "words"), NO_SCHEMAS)
def test_parameters_that_are_no_schema_are_refused(
    client: OpenAI, schema: Any, words: str, strict: bool | None
) -> None:
    tools = [function({"type": "object"}), function(schema, strict=strict)]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="x", tools=tools)
    assert refused.value.code == "invalid_function_parameters" and refused.value.param == "tools[1].parameters"
    assert "Invalid schema for function 'look_up': " in said(refused.value)
    assert strict or words in said(refused.value)


@pytest.mark.ledger("functions:schemas")
@pytest.mark.parametrize(("schema", "words"), NOT_STRICT)
def test_parameters_that_strict_mode_cannot_follow_are_refused_in_strict_mode_alone(
    client: OpenAI, schema: Any, words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="x", tools=[function(schema, strict=True)])
    assert refused.value.code == "invalid_function_parameters" and refused.value.param == "tools[0].parameters"
    assert words in said(refused.value)
    for lenient in ({}, {"strict": None}, {"strict": False}):
        answer = client.responses.create(model="gpt-5", input="x", tools=[function(schema, **lenient)])
        assert answer.tools[0].strict is False  # type: ignore[union-attr]


@pytest.mark.ledger("responses:json_schema_checked")
@pytest.mark.parametrize(("schema", "words"), NO_SCHEMAS)
def test_a_format_that_is_no_schema_is_refused(client: OpenAI, schema: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="x", text=form(schema))
    assert refused.value.code == "invalid_json_schema" and refused.value.param == "text.format.schema"
    assert "Invalid schema for response_format 'answer': " in said(refused.value) and words in said(refused.value)


@pytest.mark.ledger("responses:json_schema_checked")
@pytest.mark.parametrize(("schema", "words"), NOT_STRICT)
def test_a_format_that_strict_mode_cannot_follow_is_refused_in_strict_mode_alone(
    client: OpenAI, schema: Any, words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-5", input="x", text=form(schema, strict=True))
    assert refused.value.code == "invalid_json_schema" and refused.value.param == "text.format.schema"
    assert words in said(refused.value)
    assert client.responses.create(model="gpt-5", input="x", text=form(schema)).status == "completed"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    colour: Colour
    weight: float | None = Field(description="in grams", ge=0)


class Node(BaseModel):
    kind: Literal["node"]
    name: str = Field(min_length=1, max_length=40, pattern="^[a-z]+$")
    children: list["Node | Leaf"] = Field(max_length=5)


class Tree(BaseModel):
    root: Node
    first: Leaf
    at: Literal[1, "two"]


@pytest.mark.ledger("functions:schemas", "responses:json_schema_checked")
def test_schemas_that_clients_make_are_taken(client: OpenAI) -> None:
    lenient: list[Any] = [
        None,
        {},
        {"type": "object"},
        Tree.model_json_schema(),
        {"type": "object", "properties": {"a": {}, "b": True, "c": {"type": "array"}, "d": {"items": [TEXT]}}},
        {"type": "object", "properties": {"a": {"oneOf": [TEXT, {"const": 3}], "title": None}}, "required": None},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "x-own": [1], "definitions": {}},
        {"type": "object", "additionalProperties": TEXT, "patternProperties": {"^x": {"type": ["integer", "null"]}}},
    ]
    for parameters in lenient:
        assert client.responses.create(model="gpt-5", input="x", tools=[function(parameters)]).status == "completed"
    recursive: Any = closed(value=TEXT, children={"type": "array", "items": {"$ref": "#"}})
    by_name: Any = {"$ref": "#/$defs/One", "$defs": {"One": closed(next={"anyOf": [{"$ref": "#/$defs/One"}, TEXT]})}}
    for schema in (to_strict_json_schema(Tree), closed(), closed(not_=TEXT, allOf=TEXT), recursive, by_name):
        assert client.responses.create(model="gpt-5", input="x", text=form(schema, strict=True)).status == "completed"
        answer = client.responses.create(model="gpt-5", input="x", tools=[function(schema, strict=True)])
        assert answer.tools[0].strict is True  # type: ignore[union-attr]
