"""The name and type of a fetched document, from what its server says of it."""

from email.message import Message
from pathlib import PurePosixPath

MAX_NAME = 200


def media_type_of(header: str | None) -> str | None:
    """Return the media type of a Content-Type, lower case and without parameters."""
    return (header or "").partition(";")[0].strip().lower() or None


def filename_of(disposition: str | None, path: str) -> str | None:
    """Return the file name of a Content-Disposition, else the last segment of the URL's path, without folders."""
    name = None
    if disposition:
        message = Message()
        message["Content-Disposition"] = disposition.replace("\r", " ").replace("\n", " ")
        name = message.get_filename()
    chosen = PurePosixPath((name or path).replace("\\", "/")).name
    printable = "".join(character for character in chosen if character.isprintable() and character not in '<>"')
    return printable[:MAX_NAME] or None
