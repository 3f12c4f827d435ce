"""Documents made in the test: small, large and malicious ones."""

import io
import zipfile
import zlib
from collections.abc import Sequence

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
DRAW = "http://schemas.openxmlformats.org/drawingml/2006/main"


def zipped(parts: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def docx(body: str, *, styles: str = "", title: str = "") -> bytes:
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
    }
    if styles:
        parts["word/styles.xml"] = f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>'
    if title:
        dc = "http://purl.org/dc/elements/1.1/"
        parts["docProps/core.xml"] = f'<c xmlns:dc="{dc}"><dc:title>{title}</dc:title></c>'
    return zipped(parts)


def paragraph(text: str, *, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pptx(slides: Sequence[str]) -> bytes:
    parts: dict[str, bytes | str] = {"ppt/presentation.xml": "<p/>"}
    for number, text in enumerate(slides, 1):
        run = f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
        parts[f"ppt/slides/slide{number}.xml"] = f'<s xmlns:a="{DRAW}">{run}</s>'
    return zipped(parts)


def pdf(pages: Sequence[bytes], *, trailer: bytes = b"", packed: bool = False) -> bytes:
    """Return a PDF whose pages have these content streams, in Helvetica named F1."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in enumerate(pages):
        resources = b"<< /Font << /F1 3 0 R >> >>"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources %s /Contents %d 0 R >>"
            % (resources, 5 + 2 * number)
        )
        data, filters = (zlib.compress(content, 6), b"/Filter /FlateDecode ") if packed else (content, b"")
        objects.append(b"<< %s/Length %d >>\nstream\n%s\nendstream" % (filters, len(data), data))
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, io.SEEK_END)
    offsets: list[int] = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, table))
    return out.getvalue()


def page(lines: Sequence[str]) -> bytes:
    shown = b"".join(b"(%s) Tj 0 -14 Td " % line.encode("latin-1") for line in lines)
    return b"BT /F1 11 Tf 50 740 Td " + shown + b"ET"


ENCRYPTED = b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
    b"41" * 32,
    b"42" * 32,
)
