"""What an image is, by its first bytes: the formats that models read. It decodes no picture."""

from typing import Final

HEAD_BYTES: Final = 16
"""First bytes that tell the format."""

MEDIA_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")


def image_type(head: bytes) -> str | None:
    """Return the media type of an image by its first `HEAD_BYTES` bytes, None where they are of no known format."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None
