"""The seam to the content of files that items refer to by id or URL, or carry inline."""

from typing import Protocol


class Attachments(Protocol):
    """Files of one project, as a model can read them."""

    async def image_url(self, file_id: str) -> str:
        """Return an image file as a `data:` URL. Raises NotFoundError, RequestError (not an image, too large)."""
        ...

    async def fetch_image(self, url: str) -> str:
        """Fetch an image and return it as a `data:` URL. Raises RequestError (`invalid_image_url`, …)."""
        ...

    async def text(
        self,
        *,
        file_id: str | None,
        file_data: str | None,
        filename: str | None,
        file_url: str | None = None,
        read_before: bool = False,
    ) -> tuple[str, str]:
        """Return (filename, parsed text) of a stored or inline (base64 or `data:` URL) file, or of one at a URL.

        With `read_before`, what a URL gave earlier is as good as what it would give now. Raises NotFoundError,
        RequestError (`invalid_file`, `unsupported_file`, too large, not to be downloaded).
        """
        ...
