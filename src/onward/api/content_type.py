"""The content type of a JSON body: a missing header is fine, a wrong one is refused in OpenAI's words."""

from onward.core.errors import RequestError


def check_json_type(header: str | None) -> None:
    """Raise RequestError, status 415, for a header that names anything but JSON."""
    kind = (header or "").partition(";")[0].strip().lower()
    if not kind or kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return
    shown = (header or "")[:200]
    raise RequestError(
        f"Unsupported content type: '{shown}'. This API method only accepts 'application/json' requests, but you "
        f"specified the header 'Content-Type: {shown}'. Please try again with a supported content type.",
        code="unsupported_content_type",
        http_status=415,
    )
