"""What chat completions refuse, in OpenAI's words where it has some, and what no hostile request can do to them."""

import json
from typing import Any
from urllib.parse import quote

import hostile
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plain_http import Answer, Plain
from servers import Server

USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
JSON = {"content-type": "application/json"}
FEW, MANY = 60, 600


@pytest.fixture
def raw(server: Server) -> Plain:
    return Plain(server.port)


def refused(raw: Plain, **fields: Any) -> dict[str, Any]:
    """Ask with a body that is refused and return the error."""
    answer = raw.post("/chat/completions", {"model": "m", "messages": [USER]} | fields)
    assert answer.status == 400, answer.body
    error = answer.error()
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.ledger("chat:pairs")
def test_a_tool_message_without_its_call_is_refused(raw: Plain) -> None:
    words = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    for messages in (
        [answer],
        [USER, answer],
        [USER, ASKED, answer, answer],
        [USER, ASKED, answer | {"tool_call_id": "z"}],
    ):
        error = refused(raw, messages=messages)
        assert words in error["message"] and error["param"] == f"messages[{len(messages) - 1}].role"
    lonely = refused(raw, messages=[USER, {"role": "function", "name": "f", "content": "x"}])
    assert "role 'function' must be a response" in lonely["message"] and lonely["param"] == "messages[1].role"


@pytest.mark.ledger("chat:pairs")
def test_a_call_without_its_answer_is_refused(raw: Plain) -> None:
    words = "The following tool_call_ids did not have response messages: call_1"
    for messages, place in (([USER, ASKED], 2), ([USER, ASKED, USER], 2), ([USER, ASKED, ASKED], 2)):
        error = refused(raw, messages=messages)
        assert words in error["message"] and error["param"] == f"messages[{place}].role"
    older = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    assert "function message named 'f'" in refused(raw, messages=[USER, older, USER])["message"]
    twice = {"role": "assistant", "tool_calls": [CALL, CALL]}
    assert refused(raw, messages=[USER, twice])["param"] == "messages[1].tool_calls[1].id"


BAD_MESSAGES: list[Any] = [
    (None, "messages", "invalid_type"),
    ([], "messages", "empty_array"),
    ("hi", "messages", "invalid_type"),
    ([USER] * 2049, "messages", "array_above_max_length"),
    ([{"content": "hi"}], "messages[0].role", "missing_required_parameter"),
    ([{"role": "wizard", "content": "hi"}], "messages[0].role", "invalid_value"),
    ([{"role": "user"}], "messages[0].content", "invalid_type"),
    ([{"role": "user", "content": []}], "messages[0].content", "empty_array"),
    ([{"role": "user", "content": 5}], "messages[0].content", "invalid_type"),
    ([{"role": "user", "content": [{"text": "hi"}]}], "messages[0].content[0].type", "missing_required_parameter"),
    ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text",
     "missing_required_parameter"),
    ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type", "invalid_value"),
    (
        [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}],
        "messages[0].content[0].type",
        "invalid_value",
    ),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
        "messages[0].content[0].image_url.url",
        "invalid_value",
    ),
    (
        [{"role": "user", "content": [{"type": "file", "file": {"filename": "a"}}]}],
        "messages[0].content[0].file.file_id",
        "missing_required_parameter",
    ),
    ([USER, {"role": "assistant"}], "messages[1].content", "invalid_type"),
    ([USER, {"role": "assistant", "tool_calls": []}], "messages[1].content", "invalid_type"),
    ([USER, {"role": "assistant", "tool_calls": [{"id": "x"}]}], "messages[1].tool_calls[0].function",
     "missing_required_parameter"),
    ([USER, ASKED, {"role": "tool", "content": "x"}], "messages[2].tool_call_id", "missing_required_parameter"),
    ([USER, ASKED, {"role": "tool", "tool_call_id": "call_1"}], "messages[2].content", "invalid_type"),
]  # fmt: skip
"""Messages, and where and how they are refused."""


@pytest.mark.ledger("chat:refused")
@pytest.mark.parametrize(
    ("messages", "param", "code"),
    BAD_MESSAGES,
)
def test_messages_are_checked_with_the_place_of_the_fault(raw: Plain, messages: Any, param: str, code: str) -> None:
    error = refused(raw, messages=messages)
    assert (error["param"], error["code"]) == (param, code), error


@pytest.mark.ledger("chat:refused")
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"frequency_penalty": -2.5}, "frequency_penalty", "decimal_below_min_value"),
        ({"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": -1}, "max_completion_tokens", "integer_below_min_value"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_parameter_combination"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 10**12}, "n", "integer_above_max_value"),
        ({"n": 2, "store": True}, "n", "unsupported_parameter"),
        ({"seed": 2**63}, "seed", "integer_above_max_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "integer_above_max_value"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"top_logprobs": 3}, "top_logprobs", None),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"verbosity": "loud"}, "verbosity", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
         "response_format.json_schema.schema", "missing_required_parameter"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "zebra"}}}},
         "response_format", "invalid_json_schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "x"}}}]},
         "tools[0].function.parameters", "invalid_function_parameters"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type", "invalid_value"),
        ({"tools": 5}, "tools", "invalid_type"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice", "invalid_value"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice",
         "invalid_value"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools",
         "missing_required_parameter"),
        ({"tools": [TOOL], "functions": [TOOL["function"]]}, "functions", "invalid_parameter_combination"),
        ({"functions": [TOOL["function"]], "function_call": "required"}, "function_call", "invalid_value"),
        ({"web_search_options": {}}, "tools", "unsupported_tool"),
    ],
)  # fmt: skip
def test_fields_are_checked(raw: Plain, fields: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(raw, **fields)
    assert (error["param"], error["code"]) == (param, code), error


@pytest.mark.ledger("chat:refused")
def test_a_string_that_is_too_long_is_named_where_it_was_sent(raw: Plain) -> None:
    text = "x" * (10 * 1024 * 1024 + 1)
    for content, param in (
        (text, "messages[0].content"),
        ([{"type": "text", "text": text}], "messages[0].content[0].text"),
    ):
        error = refused(raw, messages=[{"role": "user", "content": content}])
        assert (error["param"], error["code"]) == (param, "string_above_max_length")


@pytest.mark.ledger("chat:unsupported")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "audio"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"moderation": {"model": "omni"}}, "moderation"),
        ({"messages": [{"role": "user", "content": [AUDIO]}]}, "messages[0].content[0].type"),
        ({"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}]}, "messages[1].audio"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
    ],
)
def test_what_this_server_cannot_do_is_refused(raw: Plain, fields: dict[str, Any], param: str) -> None:
    error = refused(raw, **fields)
    assert error["param"] == param and "not supported by this version" in error["message"]
    assert error["code"] in ("unsupported_parameter", "unsupported_value")


@pytest.mark.ledger("chat:create")
def test_what_changes_no_answer_is_accepted(raw: Plain) -> None:
    fields = {
        "prediction": {"type": "content", "content": "hi"},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "modalities": ["text"],
        "logprobs": False,
        "brand_new_field": {"x": 1},
    }
    assert raw.post("/chat/completions", {"model": "m", "messages": [USER]} | fields).status == 200


BODY: Any = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "be brief", "name": "d"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see json"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}], "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "done"},
        {"role": "assistant", "refusal": "no", "reasoning_content": "hm"},
        {"role": "user", "content": "on"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "stop": ["a"],
    "seed": 1,
    "n": 1,
    "logit_bias": {"1": 1},
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "temperature": 1,
    "top_p": 1,
    "max_completion_tokens": 100,
    "metadata": {"k": "v"},
    "store": True,
    "stream": False,
    "service_tier": "auto",
    "user": "u",
}  # fmt: skip


def check(answer: Answer) -> None:
    """Fail where the server is at fault, or an error is not of the contract's shape."""
    assert answer.status < 500, (answer.status, answer.body[:500])
    if answer.status >= 400:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert error["type"] != "server_error"
    assert b'"type":"server_error"' not in answer.body


def examples(count: int) -> Any:
    """Return settings for `count` reproducible examples."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.mark.ledger("chat:hostile")
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fields", [{}, {"stream": True, "stream_options": {"include_usage": True}}])
def test_no_hostile_body_is_a_server_error(raw: Plain, fields: dict[str, Any], count: int) -> None:
    template = BODY | fields
    plain = raw.post("/chat/completions", template)
    assert plain.status == 200, plain.body

    @examples(count)
    @given(body=hostile.spoiled(template))
    def attempt(body: bytes) -> None:
        check(raw.request("POST", "/chat/completions", body, JSON))

    attempt()


IDS = [
    "%00", "%2F", "..%2F..%2Fetc", "%ff%fe", "%F0%9F%A4%AF", "a" * 5000, "chatcmpl-", "chatcmpl-%00", "%20", "null",
    "chatcmpl-" + "z" * 64, "resp_1", "chatcmpl-run_1", "chatcmpl-" + "0" * 32,
]  # fmt: skip


@pytest.mark.ledger("chat:hostile")
def test_an_id_of_any_characters_is_not_found(raw: Plain) -> None:
    for text in IDS:
        for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("GET", "/messages")):
            body = b'{"metadata":{}}' if method == "POST" else b""
            answer = raw.request(method, f"/chat/completions/{text}{path}", body, JSON)
            check(answer)
            assert answer.status in (400, 404, 405), (text, answer.status)


QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            ["limit", "order", "after", "before", "model", "metadata", "metadata[k]", "metadata[", "metadata[]"]
        ),
        st.one_of(
            st.sampled_from(["", "0", "-1", "9" * 40, "asc", "desc", "\0", "v", "chatcmpl-", "chatcmpl-" + "0" * 32]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        ),
    ),
    max_size=4,
)


@pytest.mark.ledger("chat:hostile")
def test_no_query_string_is_a_server_error(raw: Plain) -> None:
    made = raw.post("/chat/completions", {"model": "m", "messages": [USER], "store": True, "metadata": {"k": "v"}})
    completion_id = json.loads(made.body)["id"]

    @examples(FEW)
    @given(pairs=QUERIES, path=st.sampled_from(["", f"/{completion_id}/messages", f"/{completion_id}"]))
    def attempt(pairs: list[tuple[str, str]], path: str) -> None:
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
        check(raw.request("GET", f"/chat/completions{path}?{query}"))

    attempt()
    many = "&".join(f"metadata[{number}]=x" for number in range(17))
    assert raw.request("GET", f"/chat/completions?{many}").status == 400
