"""`onward serve`: the server in the foreground."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onward.cli.options import PORT, config_option, data_option, load_settings

if TYPE_CHECKING:
    from onward.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=PORT, help="Port to listen on.  [default: 8700]")
@data_option
@click.option("--workers", type=click.IntRange(1, 64), help="Web processes on the one data directory.  [default: 1]")
@config_option
def command(host: str | None, port: int | None, data: str | None, workers: int | None, config: Path | None) -> None:
    """Start the server.

    Point an OpenAI client at http://HOST:PORT/v1. Without any API key (see `onward keys create`, or set
    ONWARD_API_KEY) it listens on loopback only. The model is found at start and printed, with how to change it.
    """
    loaded = load_settings(config=config, host=host, port=port, data=data, workers=workers)
    run(loaded.settings)


def run(settings: Settings) -> None:
    """Serve until a signal. Raises ClickException where it must not or cannot start."""
    import asyncio

    from onward import wiring

    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    check_data(settings.data)
    if settings.port:
        check_port(settings.host, settings.port)
    if not is_loopback(settings.host) and settings.api_key is None and not asyncio.run(wiring.has_keys(settings)):
        raise click.ClickException(
            f"Refusing to listen on {settings.host} without any API key: whoever reaches it could read everything.\n"
            "Create a key with `onward keys create NAME`, or set ONWARD_API_KEY, or listen on 127.0.0.1."
        )
    wiring.serve(settings, environ=os.environ)


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, before anything is said or opened. Raises ClickException."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {error.strerror}. Is a server running there already? "
            "Choose another port with --port."
        ) from error


def check_data(data: str) -> None:
    """Refuse a data directory that cannot be used. Raises ClickException."""
    path = Path(data).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"The data directory {path} cannot be used: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise click.ClickException(f"The data directory {path} cannot be written.")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
