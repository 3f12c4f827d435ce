"""Every setting in one place: its name, type, default and meaning. The docs and `onward doctor` are made from it.

A value comes from the command line, else from `ONWARD_<NAME>`, else from the TOML file, else from its default.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_type_hints

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import (
    DictType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    Type,
    UnionType,
    type_info,
)

PREFIX: Final = "ONWARD_"
SECRETS: Final = ("api_key", "upstream_key")


def _default_data() -> str:
    return str(Path.home() / ".onward")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a server."""

    host: Annotated[str, Meta(description="Address to listen on. Any but loopback needs an API key.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on.", ge=0, le=65535)] = 8700
    data: Annotated[str, Meta(description="Directory of all state: databases, files, sockets.")] = msgspec.field(
        default_factory=_default_data
    )
    workers: Annotated[int, Meta(description="Web processes on the one data directory.", ge=1, le=64)] = 1
    api_key: Annotated[
        str | None, Meta(description="A key of the default project, besides those made by `onward keys`.")
    ] = None
    model: Annotated[
        str | None,
        Meta(description="Default model: a name of the upstream's, `local-small`, `local-test` or `extractive`."),
    ] = None
    upstream_url: Annotated[
        str | None,
        Meta(description="Base URL of an OpenAI-compatible upstream, for example http://127.0.0.1:11434/v1."),
    ] = None
    upstream_key: Annotated[str | None, Meta(description="API key for the upstream.")] = None
    aliases: Annotated[
        dict[str, str], Meta(description="Model names that clients use → names that the upstream knows.")
    ] = {}
    context_window: Annotated[
        Annotated[int, Meta(ge=256)] | None,
        Meta(description="Context window in tokens, for a model where it is not known."),
    ] = None
    embedder: Annotated[
        Literal["local", "upstream"], Meta(description="Where texts are embedded: by the packaged model, or upstream.")
    ] = "local"
    embedding_model: Annotated[
        str | None, Meta(description='Name of the embedding model, for `embedder = "upstream"`.')
    ] = None
    egress_allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts, `host:port` and networks (CIDR) that URLs of requests may reach besides the public "
            "internet; separated by commas."
        ),
    ] = ()
    web_search_url: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="SearXNG-style search endpoint for `web_search`, for example http://127.0.0.1:8080/search."),
    ] = None
    disconnect_grace: Annotated[
        float, Meta(description="Seconds that a foreground turn goes on after its client went away.", ge=0)
    ] = 0.0
    background_slots: Annotated[
        int, Meta(description="Background responses that one process runs at once; the others wait.", ge=1, le=4096)
    ] = 64
    durability: Annotated[
        Literal["process", "power"],
        Meta(description="What an acknowledged write survives: a killed process, or a power cut (slower)."),
    ] = "process"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="What is logged to standard error.")
    ] = "info"


class Loaded(Struct, frozen=True):
    """Settings with the origin of each value: `default`, `command line`, a variable's name or the file's path."""

    settings: Settings
    origins: dict[str, str]


class SettingsError(ValueError):
    """A setting is unknown or has an impossible value; the message says which, where and what is allowed."""


def load(
    *, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None, config: Path | None = None
) -> Loaded:
    """Return the settings in force. Raises SettingsError."""
    values: dict[str, object] = {}
    origins = dict.fromkeys(Settings.__struct_fields__, "default")
    path = config or (Path(environ["ONWARD_CONFIG"]) if environ.get("ONWARD_CONFIG") else None)
    if path is not None:
        for name, value in _read_file(path).items():
            _put(values, origins, name, value, str(path))
    for name in Settings.__struct_fields__:
        raw = environ.get(PREFIX + name.upper())
        if raw:
            _put(values, origins, name, _parse(name, raw), PREFIX + name.upper())
    for name, value in (overrides or {}).items():
        if value is not None:
            _put(values, origins, name, value, "command line")
    kinds = get_type_hints(Settings, include_extras=True)
    for name, value in values.items():
        try:
            values[name] = msgspec.convert(value, kinds[name], strict=False)
        except msgspec.ValidationError as error:
            raise _invalid(name, value, origins[name], f"expected {expected(kinds[name])}") from error
    settings = Settings(**cast("dict[str, Any]", values))
    _check_allowed(settings.egress_allow, origins["egress_allow"])
    return Loaded(settings, origins)


def _invalid(name: str, value: object, origin: str, reason: str) -> SettingsError:
    """Return the error for a value, which is not shown where it may be a secret."""
    where = origin if origin.startswith(PREFIX) else f"'{name}' ({origin})"
    shown = "" if name in SECRETS else f" is {str(value)[:200]!r}"
    return SettingsError(f"Invalid settings: {where}{shown}: {reason}.")


def expected(kind: object) -> str:
    """Return in words what values a type allows, with its range."""
    found = type_info(kind)
    while isinstance(found, Metadata):
        found = found.type
    members = found.types if isinstance(found, UnionType) else (found,)
    return " or ".join(_words(member) for member in members if not isinstance(member, NoneType))


def _words(kind: Type) -> str:
    match kind:
        case IntType():
            return f"an integer{_range(kind.ge, kind.le)}"
        case FloatType():
            return f"a number{_range(kind.ge, kind.le)}"
        case LiteralType():
            return f"one of {', '.join(repr(value) for value in kind.values)}"
        case StrType():
            return f"a text that matches {kind.pattern}" if kind.pattern else "a text"
        case DictType():
            return "a table of texts, or in a variable pairs like 'name=target,name=target'"
        case _:
            return "a list of texts, or in a variable texts separated by commas"


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return "" if low is None else f" of at least {low:g}"
    return f" from {low or 0:g} to {high:g}"


def _check_allowed(entries: tuple[str, ...], origin: str) -> None:
    if not entries:
        return
    from onward.egress.allow import AllowList

    try:
        AllowList(entries)
    except ValueError as error:
        raise _invalid("egress_allow", ",".join(entries), origin, str(error)) from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise SettingsError(f"The settings file {path} does not exist.") from error
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}") from error


def _parse(name: str, raw: str) -> object:
    if name == "egress_allow":
        return tuple(entry.strip() for entry in raw.split(",") if entry.strip())
    if name != "aliases":
        return raw
    pairs = [pair.partition("=") for pair in raw.split(",") if pair.strip()]
    aliases = {alias.strip(): target.strip() for alias, _, target in pairs}
    # What is no list of pairs is left as it is, for the check of its type to refuse.
    return aliases if all(aliases) and all(aliases.values()) else raw


def _put(values: dict[str, object], origins: dict[str, str], name: str, value: object, origin: str) -> None:
    if name not in Settings.__struct_fields__:
        known = ", ".join(Settings.__struct_fields__)
        raise SettingsError(f"Unknown setting '{name}' in {origin}. Known settings: {known}.")
    values[name] = value
    origins[name] = origin


def describe() -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of every setting, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    rows: list[tuple[str, str, str]] = []
    for field in msgspec.structs.fields(Settings):
        meta = next(one for one in hints[field.name].__metadata__ if isinstance(one, Meta))
        default = "~/.onward" if field.name == "data" else _show(field.default)
        rows.append((field.name, default, meta.description or ""))
    return rows


def _show(value: object) -> str:
    return "" if value in (None, ()) or value is msgspec.NODEFAULT else str(value)
