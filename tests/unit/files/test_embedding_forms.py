"""Forms of embedding requests and answers: texts, token arrays, float and base64, fewer dimensions."""

import base64
import math
import struct

import msgspec
import pytest

from onward.api.resources.embeddings import Embeddings, _inputs, _read, _render
from onward.core.errors import RequestError
from onward.ports.embed import Vectors

VECTORS = Vectors(1, 4, struct.pack("<4f", 0.5, 0.5, 0.5, 0.5))


def rendered(**fields: object) -> object:
    body = msgspec.convert({"input": "x", "model": "m", **fields}, Embeddings)
    answer = msgspec.json.decode(_render(VECTORS, body, "minilm", 3))
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3} and answer["model"] == "minilm"
    return answer["data"][0]["embedding"]


def test_floats_and_base64_are_the_same_numbers() -> None:
    encoded = rendered(encoding_format="base64")
    assert isinstance(encoded, str)
    assert list(struct.unpack("<4f", base64.b64decode(encoded))) == rendered() == [0.5] * 4


def test_fewer_dimensions_give_a_unit_vector_again() -> None:
    short = msgspec.convert(rendered(dimensions=2), list[float])
    assert len(short) == 2
    assert math.isclose(math.hypot(*short), 1.0, rel_tol=1e-6)


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")
def test_tokens_become_text() -> None:
    both = _read(_inputs([[15339, 1917], [15339]]))
    assert both.texts == ["hello world", "hello"] and both.tokens == 3
    assert _read(_inputs([15339, 1917])).texts == ["hello world"]


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")
@pytest.mark.parametrize("text", ["a " * 8193, "🤯" * 150_000, "x" * 2_000_000, " x" * 400_000])
def test_a_text_of_too_many_tokens_is_refused_however_long_it_is(text: str) -> None:
    with pytest.raises(RequestError, match="This model's maximum context length is 8192 tokens, however you requested"):
        _read(_inputs(text))


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")
@pytest.mark.parametrize("raw", [[[10**9]], [[-1]], ["a", 1], ["a", [1]], [1, [1]]])
def test_what_cannot_be_text_is_refused(raw: list[str | int | list[int]]) -> None:
    with pytest.raises(RequestError) as refused:
        _read(_inputs(raw))
    assert refused.value.param == "input"
