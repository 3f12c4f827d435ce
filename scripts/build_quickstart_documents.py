"""Builds the quickstart's PDF and DOCX from the texts below, with the standard library alone, always the same bytes.

Run it after editing the texts: `python scripts/build_quickstart_documents.py`.
"""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).parents[1] / "src/onward/quickstart/documents"

WARRANTY = [
    [
        "Warranty terms of Harbor & Pine",
        "",
        "Solid wood furniture carries a warranty of five years from delivery. Spare parts carry",
        "a warranty of two years. The warranty covers faults of material and workmanship.",
        "",
        "What the warranty does not cover",
        "",
        "The warranty does not cover scratches, stains and fading from sunlight, movement of",
        "the wood of up to three millimetres, or damage from outdoor use of indoor furniture.",
        "Repairs by others end the warranty for the part that was repaired.",
    ],
    [
        "Making a claim",
        "",
        "Send the order number and two photographs of the fault to the support desk. We repair",
        "the part, replace it, or refund its price, in this order. Transport for warranty claims",
        "is free within the country of delivery. A claim is answered within seven working days.",
    ],
]

SHIPPING = [
    ("Heading1", "Shipping"),
    (
        "",
        "Standard shipping costs 6.90 euros and is free for orders over 150 euros. Furniture over 30 kilograms goes by "
        "freight, which costs 49 euros and is delivered to the kerb.",
    ),
    ("Heading1", "Delivery times"),
    (
        "",
        "Spare parts leave the warehouse the same day when they are ordered before noon. Furniture in stock is "
        "delivered within six working days, made-to-measure furniture within seven weeks.",
    ),
    ("Heading1", "Delivery abroad"),
    (
        "",
        "We deliver to all countries of the European Union and to Switzerland and Norway. Customs duties outside the "
        "European Union are paid by the customer. Freight is not available on islands without a bridge.",
    ),
    ("Heading1", "Missed deliveries"),
    (
        "",
        "The carrier tries twice. After the second attempt a parcel waits seven days at the nearest pick-up point; "
        "after that it returns to us and we refund the order without the shipping fee.",
    ),
]


def pdf(pages: list[list[str]]) -> bytes:
    """Return a PDF with one line of text per entry, in a standard font."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids: list[str] = []
    for lines in pages:
        shown = "\n".join(f"({line.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj T*" for line in lines)
        content = f"BT /F1 11 Tf 15 TL 64 760 Td\n{shown}\nET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
        stream = len(objects)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % stream
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out = bytearray(b"%PDF-1.4\n")
    offsets: list[int] = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)


def docx(path: Path, paragraphs: list[tuple[str, str]]) -> None:
    """Write a DOCX of styled paragraphs."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    body = "".join(
        f"<w:p>{f'<w:pPr><w:pStyle w:val={chr(34)}{style}{chr(34)}/></w:pPr>' if style else ''}"
        f"<w:r><w:t>{escape(text)}</w:t></w:r></w:p>"
        for style, text in paragraphs
    )
    members = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'{head}<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)


if __name__ == "__main__":
    (TARGET / "warranty.pdf").write_bytes(pdf(WARRANTY))
    docx(TARGET / "shipping.docx", SHIPPING)
    print(f"wrote warranty.pdf and shipping.docx in {TARGET}")
