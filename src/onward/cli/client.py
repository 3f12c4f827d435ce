"""The client that commands use: the ordinary openai SDK, pointed at a running server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from openai import OpenAI


def connect(url: str, api_key: str | None) -> OpenAI:
    """Return a client of the server at `url`."""
    from openai import OpenAI

    return OpenAI(base_url=url.rstrip("/").removesuffix("/v1") + "/v1", api_key=api_key or "none", max_retries=2)


@contextmanager
def friendly_errors(url: str) -> Generator[None]:
    """Turn the SDK's errors into one line and a hint."""
    from openai import APIConnectionError, APIStatusError

    try:
        yield
    except APIConnectionError as error:
        raise click.ClickException(f"No server answers at {url}. Start one with `onward serve`.") from error
    except APIStatusError as error:
        detail = cast("dict[str, object]", error.body or {})
        raise click.ClickException(str(detail.get("message") or error.message)) from error
