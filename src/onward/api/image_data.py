"""Images that come inside of a request, as `data:` URLs: refused here where no model could read them.

Only both ends of the data are looked at, so that megabytes do not hold the event loop.
"""

import base64
import re
from typing import Final

from onward.core.errors import RequestError
from onward.core.images import HEAD_BYTES, MEDIA_TYPES, image_type

MAX_PREFIX: Final = 256
"""Characters in which the comma of a `data:` URL must come."""
CHECKED: Final = 32 * 1024
"""Characters at each end of the data whose alphabet is checked."""
_DECLARABLE: Final = frozenset((*MEDIA_TYPES, "image/jpg"))
_DIGITS: Final = re.compile(r"[A-Za-z0-9+/\r\n]*")
_END: Final = re.compile(r"[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")


def check_image_data(url: str, param: str) -> None:
    """Check a `data:` URL of an image, in time that does not grow with it.

    Raises RequestError `unsupported_image_media_type`, `invalid_base64_image`, `empty_image_file` or
    `invalid_image_format`.
    """
    comma = url.find(",", 0, MAX_PREFIX)
    if comma < 0:
        raise _refused("expected a data URL 'data:image/png;base64,…'.", param, "invalid_base64_image")
    declared, *options = url[len("data:") : comma].lower().split(";")
    if declared.strip() not in _DECLARABLE:
        raise _refused(
            f"the media type '{declared[:100]}' is not supported. Supported are {', '.join(MEDIA_TYPES)}.",
            param,
            "unsupported_image_media_type",
        )
    if "base64" not in (option.strip() for option in options):
        raise _refused("the data has to be base64.", param, "invalid_base64_image")
    if len(url) == comma + 1:
        raise _refused("the image is empty.", param, "empty_image_file")
    _check_digits(url, comma + 1, param)


def _check_digits(url: str, start: int, param: str) -> None:
    size = len(url) - start
    head, tail = url[start : start + CHECKED], url[max(start, len(url) - CHECKED) :]
    broken = size > CHECKED and _DIGITS.fullmatch(head) is None
    wrapped = "\n" in head
    if broken or _END.fullmatch(tail) is None or (not wrapped and size % 4):
        raise _refused("the data is not valid base64.", param, "invalid_base64_image")
    digits = "".join(head[:64].split())[: -(-HEAD_BYTES // 3) * 4]
    first = base64.b64decode(digits[: len(digits) // 4 * 4])
    if image_type(first) is None:
        raise _refused(f"the data is no image. Supported are {', '.join(MEDIA_TYPES)}.", param, "invalid_image_format")


def _refused(reason: str, param: str, code: str) -> RequestError:
    return RequestError(f"Invalid '{param}': {reason}", param=param, code=code)
