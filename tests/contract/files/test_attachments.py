"""Files as a model reads them: images as data URLs, documents as text, and refusals in words."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from shelf import Shelf, opened
from sites import Page, Site, site

from onward.core.errors import NotFoundError, RequestError
from onward.egress.client import GuardedClient
from onward.retrieval.parse.pool import ParserPool
from onward.tools.attachments import MAX_DOCUMENT_BYTES, ProjectAttachments

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@asynccontextmanager
async def attachments_of(data: Path) -> AsyncGenerator[tuple[Shelf, ProjectAttachments]]:
    async with opened(data) as shelf:
        parser = ParserPool(idle_seconds=1.0)
        egress = GuardedClient(["127.0.0.1"])
        try:
            yield shelf, ProjectAttachments(files=shelf.files, parser=parser, egress=egress)
        finally:
            await egress.aclose()
            await parser.aclose()


def test_images_become_data_urls_by_their_content(tmp_path: Path) -> None:
    async def main() -> None:
        async with attachments_of(tmp_path) as (shelf, attachments):
            for data, media_type in ((PNG, "image/png"), (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg")):
                file = await shelf.upload(data, "misnamed.txt")
                encoded = base64.b64encode(data).decode()
                assert await attachments.image_url(file.id) == f"data:{media_type};base64,{encoded}"
            text = await shelf.upload("no image", "photo.png")
            with pytest.raises(RequestError, match="not an image"):
                await attachments.image_url(text.id)
            with pytest.raises(NotFoundError, match="No such File object: file-nope"):
                await attachments.image_url("file-nope")

    asyncio.run(main())


def test_images_and_documents_are_fetched_by_url(tmp_path: Path) -> None:
    pages = {
        "/dot": Page(PNG, "image/png"),
        "/words": Page(b"no image", "image/png"),
        "/report": Page(
            b"<p>Net profit rose.</p>", "text/html", headers={"Content-Disposition": 'attachment; filename="../r.html"'}
        ),
    }

    async def main(web: Site) -> None:
        async with attachments_of(tmp_path) as (_, attachments):
            encoded = base64.b64encode(PNG).decode()
            assert await attachments.fetch_image(web.url("/dot")) == f"data:image/png;base64,{encoded}"
            for url, code in (
                (web.url("/words"), "invalid_image_format"),
                (web.url("/none"), "failed_to_download_image"),
                ("http://10.0.0.1/a.png", "invalid_image_url"),
            ):
                with pytest.raises(RequestError) as caught:
                    await attachments.fetch_image(url)
                assert caught.value.code == code
            url = web.url("/report")
            for before in (False, True, False):
                got = await attachments.text(
                    file_id=None, file_data=None, filename=None, file_url=url, read_before=before
                )
                assert got[0] == "r.html" and got[1].strip() == "Net profit rose."
            assert [asked.path for asked in web.asked].count("/report") == 2

    with site(pages) as web:
        asyncio.run(main(web))


def test_documents_become_text_stored_or_inline(tmp_path: Path) -> None:
    async def main() -> None:
        async with attachments_of(tmp_path) as (shelf, attachments):
            file = await shelf.upload("# Title\n\nSome words.\n", "a.md")
            for _ in range(2):
                name, text = await attachments.text(file_id=file.id, file_data=None, filename=None)
                assert name == "a.md" and "Some words." in text
            html = base64.b64encode(b"<html><body><p>Inline words.</p></body></html>").decode()
            for data in (html, f"data:text/html;base64,{html}"):
                name, text = await attachments.text(file_id=None, file_data=data, filename="b.html")
                assert name == "b.html" and text.strip() == "Inline words."
            plain = "data:text/plain,percent%20words"
            assert (await attachments.text(file_id=None, file_data=plain, filename="c.txt"))[
                1
            ].strip() == "percent words"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        ("====", "a.txt"),
        ("data:text/plain;base64", "a.txt"),
        (base64.b64encode(b"%PDF-1.7 broken").decode(), "a.pdf"),
        (base64.b64encode(PNG).decode(), "a.png"),
        ("A" * (MAX_DOCUMENT_BYTES * 4 // 3 + 2048), "a.txt"),
    ],
)
def test_what_cannot_be_read_is_refused(data: str, filename: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with attachments_of(tmp_path) as (_, attachments):
            with pytest.raises(RequestError) as refused:
                await attachments.text(file_id=None, file_data=data, filename=filename)
            assert refused.value.param == "input" and refused.value.http_status == 400

    asyncio.run(main())


def test_an_input_file_needs_content(tmp_path: Path) -> None:
    async def main() -> None:
        async with attachments_of(tmp_path) as (_, attachments):
            with pytest.raises(RequestError, match="file_id"):
                await attachments.text(file_id=None, file_data=None, filename="a.txt")

    asyncio.run(main())
