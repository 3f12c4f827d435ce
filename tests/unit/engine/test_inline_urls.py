"""Files and images by URL on their way to a model: put in where it does not fetch, named where they are gone."""

import asyncio
from typing import Any

import msgspec
import pytest
from turning import NoFiles

from onward.core.errors import RequestError
from onward.core.items import Item
from onward.engine.inline import MAX_FETCHED, inline_files

IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}
FILE = {"type": "input_file", "file_url": "https://example.com/a.txt"}


class Web(NoFiles):
    """Attachments that are fetched, unless they are gone; `asked` are the URLs."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.asked: list[tuple[str, bool]] = []

    async def fetch_image(self, url: str) -> str:
        self._ask(url, before=False)
        return "data:image/png;base64,AA=="

    async def text(
        self,
        *,
        file_id: str | None,
        file_data: str | None,
        filename: str | None,
        file_url: str | None = None,
        read_before: bool = False,
    ) -> tuple[str, str]:
        assert file_id is None and file_data is None and file_url is not None
        self._ask(file_url, before=read_before)
        return filename or "a.txt", "some words"

    def _ask(self, url: str, *, before: bool) -> None:
        self.asked.append((url, before))
        if self.gone:
            raise RequestError("gone")


def message(*parts: dict[str, str]) -> Item:
    body = {"id": "msg_1", "type": "message", "role": "user", "content": parts}
    return Item("msg_1", "message", msgspec.json.encode(body), "user")


def parts_of(item: Item) -> Any:
    return msgspec.json.decode(item.body)["content"]


def read(web: Web, *parts: dict[str, str], **options: bool) -> Any:
    items = asyncio.run(inline_files([message(*parts)], web, **options))
    return parts_of(items[0])


def test_an_image_is_fetched_only_for_a_model_that_does_not() -> None:
    web = Web()
    assert read(web, IMAGE) == [IMAGE] and web.asked == []
    assert read(web, IMAGE, image_urls=False) == [IMAGE | {"image_url": "data:image/png;base64,AA=="}]
    inline = IMAGE | {"image_url": "data:image/png;base64,BB=="}
    assert read(web, inline, image_urls=False) == [inline] and len(web.asked) == 1


def test_a_file_is_read_for_every_model() -> None:
    web = Web()
    assert read(web, FILE) == [{"type": "input_text", "text": '<file name="a.txt">\nsome words\n</file>'}]
    assert read(web, FILE, history=True) and web.asked == [(FILE["file_url"], False), (FILE["file_url"], True)]


def test_what_is_gone_ends_a_request_but_no_conversation() -> None:
    for part in (FILE, IMAGE):
        with pytest.raises(RequestError, match="gone"):
            read(Web(gone=True), part, image_urls=False)
        (left,) = read(Web(gone=True), part, image_urls=False, history=True)
        assert left["type"] == "input_text" and "no longer available" in left["text"]


def test_only_so_many_are_fetched() -> None:
    web = Web()
    with pytest.raises(RequestError, match=f"At most {MAX_FETCHED}"):
        read(web, *[FILE] * (MAX_FETCHED + 1))
    assert len(web.asked) == MAX_FETCHED
