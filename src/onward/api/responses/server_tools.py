"""Tools that reach beyond the server, on the wire: web search and MCP servers, for the engine and for the echo.

What gives access to an MCP server (its address beyond the origin, authorization, headers) goes to the engine alone.
"""

import re
from collections.abc import Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from onward.api.errors import invalid_value, missing_parameter, too_long
from onward.core.errors import RequestError
from onward.core.tools import Access, McpTool, ToolMatch, WebSearchTool

Fields = dict[str, object]

WEB_SEARCH: Final = {
    "web_search": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview": "web_search_preview",
    "web_search_preview_2025_03_11": "web_search_preview",
}
"""Types of web search tools → the kind by which a choice names them."""
SIZES: Final = ("low", "medium", "high")
MAX_DOMAINS: Final = 100
MAX_HEADERS: Final = 64
MAX_SECRET: Final = 16_384
_LABEL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*", re.IGNORECASE)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_UNWRITABLE: Final = re.compile(r"[^\x20-\x7e\x80-\xff\t]")


def read_web_search(fields: Fields, path: str) -> tuple[WebSearchTool, Fields]:
    """Return a web search tool and its echo. Raises RequestError."""
    size = fields.get("search_context_size") or "medium"
    if size not in SIZES:
        raise invalid_value(f"{path}.search_context_size", size, SIZES)
    filters = _object(fields.get("filters"), f"{path}.filters")
    location = _object(fields.get("user_location"), f"{path}.user_location")
    domains = _strings(filters.get("allowed_domains"), f"{path}.filters.allowed_domains") or ()
    if len(domains) > MAX_DOMAINS:
        raise RequestError(
            f"Invalid '{path}.filters.allowed_domains': array too long. Expected an array with maximum length "
            f"{MAX_DOMAINS}, but got an array with length {len(domains)} instead.",
            param=f"{path}.filters.allowed_domains",
            code="array_above_max_length",
        )
    for index, domain in enumerate(domains):
        if _DOMAIN.fullmatch(domain) is None:
            raise invalid_value(f"{path}.filters.allowed_domains[{index}]", domain)
    country = location.get("country")
    kind = str(fields["type"])
    tool = WebSearchTool(
        kind=WEB_SEARCH[kind],
        allowed_domains=tuple(domain.lower() for domain in domains),
        context_size=size,
        country=country if isinstance(country, str) else None,
        live=fields.get("external_web_access") is not False,
    )
    echo: Fields = {"type": kind, "filters": None, "search_context_size": size, "user_location": None}
    return tool, echo | fields | {"search_context_size": size}


def read_mcp(fields: Fields, path: str) -> tuple[McpTool, Fields]:
    """Return the tool of an MCP server and its echo, which tells nothing that gives access. Raises RequestError."""
    label = _string(fields, "server_label", path)
    if label is None:
        raise missing_parameter(f"{path}.server_label")
    if _LABEL.fullmatch(label) is None:
        raise RequestError(
            f"Invalid '{path}.server_label': string does not match pattern. Expected a string that matches the "
            "pattern '^[a-zA-Z][a-zA-Z0-9_-]*$'.",
            param=f"{path}.server_label",
            code="invalid_value",
        )
    for other in ("connector_id", "tunnel_id"):
        if fields.get(other) is not None:
            raise RequestError(
                f"'{path}.{other}' is not available on this server: send the server's 'server_url'.",
                param=f"{path}.{other}",
                code="unsupported_parameter",
            )
    url = _string(fields, "server_url", path)
    if url is None:
        raise missing_parameter(f"{path}.server_url")
    description = _string(fields, "server_description", path)
    approve, skip = _approval(fields.get("require_approval"), f"{path}.require_approval")
    tool = McpTool(
        label=label,
        access=Access(url, _headers(fields, path)),
        description=description,
        allowed=_match(fields.get("allowed_tools"), f"{path}.allowed_tools") or ToolMatch(),
        approve=approve,
        skip=skip,
    )
    echo: Fields = {
        "type": "mcp",
        "allowed_tools": fields.get("allowed_tools"),
        "authorization": None,
        "headers": None,
        "require_approval": fields.get("require_approval") or "always",
        "server_description": description,
        "server_label": label,
        "server_url": redacted(url, path),
    }
    return tool, echo


def redacted(url: str, path: str) -> str:
    """Return a server's address as it is echoed and stored: its origin. Raises RequestError where it has none."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname
    except ValueError:
        host, port, parts = None, "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise RequestError(
            f"Invalid '{path}.server_url'. Expected a valid URL, but got a value with an invalid format.",
            param=f"{path}.server_url",
            code="invalid_value",
        )
    shown = f"[{host}]" if ":" in host else host
    more = "<redacted>" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{shown}{port}/{more}"


def _headers(fields: Fields, path: str) -> tuple[tuple[str, str], ...]:
    headers = _object(fields.get("headers"), f"{path}.headers")
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        where = f"{path}.headers"
        if _HEADER.fullmatch(name) is None:
            raise RequestError(f"Invalid '{where}': a name is not one of a header.", param=where, code="invalid_value")
        if not isinstance(value, str):
            raise RequestError(f"Invalid type for '{where}': expected strings.", param=where, code="invalid_type")
        found.append((name, _written(value, where)))
    if len(found) > MAX_HEADERS:
        raise RequestError(
            f"Invalid '{path}.headers': at most {MAX_HEADERS} headers.", param=f"{path}.headers", code="invalid_value"
        )
    token = _string(fields, "authorization", path)
    if token is not None:
        if any(name.lower() == "authorization" for name, _ in found):
            raise RequestError(
                f"'{path}.authorization' and an 'Authorization' header cannot both be given.",
                param=f"{path}.authorization",
                code="invalid_value",
            )
        found.append(("Authorization", f"Bearer {_written(token, f'{path}.authorization')}"))
    return tuple(found)


def _written(value: str, where: str) -> str:
    """Return the value of a header. Raises RequestError, without the value, for what no header can carry."""
    if len(value) > MAX_SECRET:
        raise too_long(where, len(value), maximum=MAX_SECRET)
    if _UNWRITABLE.search(value):
        raise RequestError(f"Invalid '{where}': a header cannot carry it.", param=where, code="invalid_value")
    return value


def _approval(value: object, path: str) -> tuple[ToolMatch | None, ToolMatch | None]:
    """Return which tools need an approval and which of those do not after all; `always` where nothing is said."""
    if value is None or value == "always":
        return ToolMatch(), None
    if value == "never":
        return None, None
    if not isinstance(value, dict):
        raise invalid_value(path, value, ("always", "never"))
    fields = cast("Fields", value)
    always = _match(fields.get("always"), f"{path}.always")
    never = _match(fields.get("never"), f"{path}.never")
    if always is not None and never is None:
        return always, None
    return ToolMatch(), _without(never, always)


def _without(never: ToolMatch | None, always: ToolMatch | None) -> ToolMatch | None:
    """Return `never` without the names that `always` names: where both match, the client is asked."""
    if never is None or always is None or never.names is None or always.names is None:
        return never if always is None or always.names is not None else None
    return ToolMatch(never.names - always.names, never.read_only)


def _match(value: object, path: str) -> ToolMatch | None:
    if value is None:
        return None
    if isinstance(value, list):
        return ToolMatch(frozenset(_strings(cast("list[object]", value), path) or ()))
    fields = _object(value, path)
    names = _strings(fields.get("tool_names"), f"{path}.tool_names")
    read_only = fields.get("read_only")
    if read_only is not None and not isinstance(read_only, bool):
        raise RequestError(
            f"Invalid type for '{path}.read_only': expected a boolean.", param=f"{path}.read_only", code="invalid_type"
        )
    return ToolMatch(frozenset(names) if names is not None else None, read_only)


def _object(value: object, path: str) -> Fields:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
    return cast("Fields", value)


def _string(fields: Fields, name: str, path: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        where = f"{path}.{name}"
        raise RequestError(f"Invalid type for '{where}': expected a string.", param=where, code="invalid_type")
    return value


def _strings(value: object, path: str) -> Sequence[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[object]", value)):
        raise RequestError(f"Invalid type for '{path}': expected an array of strings.", param=path, code="invalid_type")
    return cast("list[str]", value)
