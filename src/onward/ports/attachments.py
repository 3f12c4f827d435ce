"""The seam to the content of files that items refer to by id, or carry inline."""

from typing import Protocol


class Attachments(Protocol):
    """Files of one project, as a model can read them."""

    async def image_url(self, file_id: str) -> str:
        """Return an image file as a `data:` URL. Raises NotFoundError, RequestError (not an image, too large)."""
        ...

    async def text(self, *, file_id: str | None, file_data: str | None, filename: str | None) -> tuple[str, str]:
        """Return (filename, parsed text) of a stored or inline (base64 or `data:` URL) file.

        Raises NotFoundError, RequestError (`invalid_file`, `unsupported_file`, too large).
        """
        ...
