"""Multipart forms as streams: any cut of the bytes gives the same parts, and broken forms are refused in words."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from onward.api.resources.multipart import MAX_PARTS, FormEvent, PartBegan, PartEnded, read_form
from onward.core.errors import RequestError

BOUNDARY = "xYz"
FORM = (
    b'--xYz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xa9t\xc3\xa9.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nline one\r\n--xY not the end\r\n\r\n--xYz--\r\n"
)


def form_request(content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Request:
    return Request({"type": "http", "headers": [(b"content-type", content_type.encode())]})


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def parts_of(*pieces: bytes, request: Request | None = None) -> list[tuple[PartBegan, bytes]]:
    async def collect() -> list[FormEvent]:
        return [event async for event in read_form(request or form_request(), _pieces(*pieces))]

    parts: list[tuple[PartBegan, bytes]] = []
    for event in asyncio.run(collect()):
        match event:
            case PartBegan():
                parts.append((event, b""))
            case bytes():
                parts[-1] = parts[-1][0], parts[-1][1] + event
            case PartEnded():
                pass
    return parts


EXPECTED = [
    (PartBegan("purpose", None, None), b"assistants"),
    (PartBegan("file", "été.txt", "text/plain"), b"line one\r\n--xY not the end\r\n"),
]


@given(st.lists(st.integers(0, len(FORM)), max_size=6))
def test_any_cut_gives_the_same_parts(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(FORM)]
    pieces = [FORM[start:end] for start, end in pairwise(places)]
    assert parts_of(*pieces) == EXPECTED


@pytest.mark.parametrize("length", [0, 1, 40, 100, len(FORM) - 8])
def test_a_truncated_form_is_refused(length: int) -> None:
    with pytest.raises(RequestError, match="ended early"):
        parts_of(FORM[:length])


@pytest.mark.parametrize("content_type", ["application/json", "", "multipart/form-data", "multipart/mixed; boundary=x"])
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(RequestError, match="multipart/form-data") as refused:
        parts_of(FORM, request=form_request(content_type))
    assert refused.value.code == "invalid_content_type"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no boundary at all", "could not parse"),
        (b"--xYz\r\nContent-Type: text/plain\r\n\r\nx\r\n--xYz--\r\n", "lacks a name"),
        (b"--xYz\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\nx\r\n--xYz--\r\n", "header size"),
        ((b"--xYz\r\n" + b"X-More: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 800) + b"\r\n", "header|too large"),
        (
            b'--xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * (MAX_PARTS + 1) + b"--xYz--\r\n",
            "at most",
        ),
    ],
)
def test_a_malformed_form_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parts_of(body)
