"""What is said of an upstream's error: its own words once, and nothing that looks like a key."""

import pytest

from onward.models.chat_completions.faults import status_fault, without_keys


def test_an_error_without_words_is_told_by_its_status_alone() -> None:
    fault = status_fault(500, {}, b"", upstream="u")
    assert fault.message == "The model's server 'u' answered HTTP 500."
    fault = status_fault(503, {}, b'{"error": {"message": "Loading."}}', upstream="u")
    assert fault.message == "The model's server 'u' is not available: Loading."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-abc***xyz. You can", "Incorrect API key provided: [key]. You can"),
        ("Incorrect API key provided: mysecret99.", "Incorrect API key provided: [key]."),
        ("Bearer abcdefgh123 is bad", "Bearer [key] is bad"),
        ("No such key-value store; the key is bad", "No such key-value store; the key is bad"),
    ],
)
def test_what_looks_like_a_key_is_left_out(text: str, shown: str) -> None:
    assert without_keys(text) == shown
