"""Each file type through the real child processes: text, structure, pages, and what is refused with which reason."""

import asyncio
import codecs
from pathlib import Path

import pytest
from office_files import ENCRYPTED, docx, page, paragraph, pdf, pptx, zipped

from onward.ports.parse import Document, ParseError, Recipe
from onward.retrieval.parse.pool import ParserPool


def parse(folder: Path, name: str, data: bytes, *, media_type: str | None = None) -> Document:
    async def main() -> Document:
        pool = ParserPool()
        path = folder / "blob"
        path.write_bytes(data)
        try:
            return await pool.parse(path, filename=name, media_type=media_type)
        finally:
            await pool.aclose()

    return asyncio.run(main())


def refused(folder: Path, name: str, data: bytes) -> tuple[str, str]:
    with pytest.raises(ParseError) as caught:
        parse(folder, name, data)
    return caught.value.code, caught.value.message


def titles(document: Document) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in document.sections]


@pytest.mark.parametrize(
    "data",
    [
        "Grüße, 世界\nzwei".encode(),
        codecs.BOM_UTF8 + "Grüße, 世界\r\nzwei".encode(),
        codecs.BOM_UTF16_LE + "Grüße, 世界\rzwei".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Grüße, 世界\nzwei".encode("utf-16-be"),
    ],
)
def test_text_in_every_encoding_of_the_contract(tmp_path: Path, data: bytes) -> None:
    assert parse(tmp_path, "a.txt", data).text == "Grüße, 世界\nzwei"


def test_utf16_without_a_mark(tmp_path: Path) -> None:
    text = "plain words " * 20
    assert parse(tmp_path, "a.txt", text.encode("utf-16-le")).text == text.strip()


@pytest.mark.parametrize("name", ["a.py", "a.json", "a.csv", "a.tex", "a.unheardof", "noextension"])
def test_code_and_data_stay_as_they_are(tmp_path: Path, name: str) -> None:
    text = 'def f(x):\n    return {"a": [1, 2], "b": x}  # # not a heading'
    document = parse(tmp_path, name, text.encode())
    assert (document.text, document.sections) == (text, [])


def test_markdown_has_its_headings_but_not_those_in_code(tmp_path: Path) -> None:
    text = "# Guide\n\nIntro.\n\n```sh\n# a comment\n```\n\n## **Part** one ##\nText.\n"
    document = parse(tmp_path, "a.md", text.encode())
    assert titles(document) == [(1, "Guide"), (2, "Part one")]
    assert (document.title, document.text) == ("Guide", text.strip())
    assert [document.text[s.start : s.end][:4] for s in document.sections] == ["# Gu", "## *"]


def test_html_keeps_text_and_headings(tmp_path: Path) -> None:
    page_source = (
        "<!doctype html><html><head><title>The\n page</title><style>p{}</style></head><body><nav>Menu</nav>"
        "<h1>Terms &amp; more</h1><p>AT&amp;T is <b>bold</b>,<br>really.</p><h2>List</h2><ul><li>one<li>two</ul>"
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table><script>alert(1)</script></body></html>"
    )
    document = parse(tmp_path, "a.html", page_source.encode())
    assert titles(document) == [(1, "Terms & more"), (2, "List")]
    assert document.title == "The page"
    assert "AT&T is bold,\nreally." in document.text and "a | b\n1 | 2" in document.text
    assert all(word not in document.text for word in ("Menu", "alert", "p{}"))
    latin = '<html><head><meta charset="iso-8859-1"></head><body>caf\xe9</body></html>'.encode("latin-1")
    assert parse(tmp_path, "b.htm", latin).text == "café"


def test_word_documents_keep_headings_tables_and_marks(tmp_path: Path) -> None:
    style = '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>'
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("Item", "Price"))
    body = (
        paragraph("Refunds", style="Heading1")
        + paragraph("Terms &amp; conditions at AT&amp;T.")
        + paragraph("Digital goods", style="berschrift2")
        + f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>"
        + "<w:p><w:r><w:t>tab</w:t><w:tab/><w:t>bed</w:t></w:r></w:p>"
    )
    document = parse(tmp_path, "a.docx", docx(body, styles=style, title="Policy"))
    assert titles(document) == [(1, "Refunds"), (2, "Digital goods")]
    assert "Terms & conditions at AT&T." in document.text and "Item | Price" in document.text
    assert ("tab\tbed" in document.text, document.title) == (True, "Policy")


def test_slides_are_pages(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.pptx", pptx([f"Slide {n}" for n in range(1, 12)]))
    assert [p.page for p in document.pages] == list(range(1, 12))
    tenth = next(p for p in document.pages if p.page == 10)
    assert document.text[tenth.start :].strip().startswith("Slide 10")


def test_pdf_has_pages_and_whole_paragraphs(tmp_path: Path) -> None:
    first = page(
        [
            "A paragraph that is long enough to be broken by the",
            "margin of its page goes on in the next line.",
            "Short end.",
        ]
    )
    document = parse(tmp_path, "a.pdf", pdf([first, page(["Second page."])], trailer=b""))
    assert "broken by the margin of its page" in document.text
    assert [p.page for p in document.pages] == [1, 2]
    assert document.text[document.pages[1].start :].strip() == "Second page."


def test_older_formats_are_read(tmp_path: Path) -> None:
    rtf = rb"{\rtf1\ansi Hello \b rich\b0  text.\par}"
    assert "rich" in parse(tmp_path, "a.rtf", rtf).text


def test_the_media_type_helps_only_a_name_without_extension(tmp_path: Path) -> None:
    assert titles(parse(tmp_path, "readme", b"# Title\n\ntext", media_type="text/markdown")) == [(1, "Title")]
    assert titles(parse(tmp_path, "readme.txt", b"# Title\n\ntext", media_type="text/markdown")) == []


@pytest.mark.parametrize(
    ("name", "data", "code", "words"),
    [
        ("a.txt", b"", "invalid_file", "empty"),
        ("a.txt", b"  \n ", "invalid_file", "no text"),
        ("a.txt", b"\xff\xfe\xfa\xfb\xfc" * 9, "invalid_file", "not text"),
        ("a.md", bytes(range(256)) * 4, "invalid_file", "not text"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "unsupported_file", "no text"),
        ("b.exe", b"MZ\x00\x01\x02", "unsupported_file", "no text"),
        ("b.bin", b"a few words\x00\x01 and bytes", "invalid_file", "not text"),
        ("a.zip", zipped({"a.txt": "x"}), "unsupported_file", "Archives"),
        ("a.docx", b"not a zip at all", "invalid_file", "its content is not"),
        ("a.docx", docx(paragraph("x"))[:-40], "invalid_file", "damaged"),
        ("a.docx", docx("<w:p><w:r>"), "invalid_file", "damaged"),
        ("a.docx", docx(""), "invalid_file", "no text"),
        (
            "a.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "invalid_file",
            "password",
        ),
        ("a.pdf", b"not a pdf", "invalid_file", "not a PDF"),
        ("a.pdf", b"%PDF-1.7\nbroken", "invalid_file", "damaged"),
        ("a.pdf", pdf([page(["x"])], trailer=ENCRYPTED), "invalid_file", "password"),
        ("a.pdf", pdf([b""]), "invalid_file", "scan"),
        ("a.html", b"<html><body><script>x</script></body></html>", "invalid_file", "no text"),
    ],
)
def test_refusals_say_why(tmp_path: Path, name: str, data: bytes, code: str, words: str) -> None:
    found = refused(tmp_path, name, data)
    assert found[0] == code and words in found[1], found


def test_a_lost_blob_is_our_fault(tmp_path: Path) -> None:
    async def main() -> None:
        pool = ParserPool()
        with pytest.raises(ParseError) as caught:
            await pool.parse(tmp_path / "nothing", filename="a.txt")
        assert caught.value.code == "server_error"
        await pool.aclose()

    asyncio.run(main())


def test_prepare_gives_chunks_with_words(tmp_path: Path) -> None:
    async def main() -> None:
        pool = ParserPool()
        path = tmp_path / "blob"
        path.write_text("# Head\n\n" + "Some words in a sentence. " * 200)
        prepared = await pool.prepare(path, filename="My-File.md", recipe=Recipe(100, 50))
        assert len(prepared.chunks) > 15 and all(len(c.terms) > 8 and c.heading == "Head" for c in prepared.chunks)
        with pytest.raises(ValueError, match="between"):
            await pool.prepare(path, filename="a.md", recipe=Recipe(10, 0))
        await pool.aclose()

    asyncio.run(main())
