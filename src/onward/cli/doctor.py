"""`onward doctor`: each setting with its origin, and what a server with them could do on this machine."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
from pathlib import Path

import click

from onward.cli.options import config_option, data_option, load_settings
from onward.cli.weights import detect_model
from onward.settings import SECRETS

LOW_DISK_BYTES = 1024**3


@click.command()
@data_option
@config_option
def command(data: str | None, config: Path | None) -> None:
    """Show what is configured, where it comes from, and what is missing.

    Ends with status 1 where a server could not work.
    """
    loaded = load_settings(config=config, data=data)
    settings = loaded.settings
    click.secho("Settings", bold=True)
    for name, origin in loaded.origins.items():
        value = getattr(settings, name)
        shown = "(set)" if name in SECRETS and value else "" if value in (None, {}) else value
        click.echo(f"  {name:<18} {shown!s:<34} {origin}")
    click.secho("\nChecks", bold=True)
    problems = [_check_data(settings.data), _check_database(), _check_port(settings.host, settings.port)]
    click.echo(f"  model: {detect_model(settings).sentence}")
    runtime = "installed" if importlib.util.find_spec("xllamacpp") else "not installed (pip install 'onward[local]')"
    click.echo(f"  embedded model's runtime: {runtime}")
    from onward import wiring

    if not problems[0]:
        keys = settings.api_key is not None or asyncio.run(wiring.has_keys(settings))
        click.echo(f"  API keys: {'configured' if keys else 'none, so loopback only'}")
    if any(problems):
        raise SystemExit(1)


def _check_data(data: str) -> bool:
    path = Path(data).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        click.secho(f"  data directory: {path} cannot be written: {error.strerror}", fg="red")
        return True
    free = shutil.disk_usage(path).free
    click.secho(f"  data directory: {path}, {free / 1e9:.0f} GB free", fg="red" if free < LOW_DISK_BYTES else None)
    return False


def _check_database() -> bool:
    import apsw

    version = apsw.sqlite_lib_version()
    good = tuple(map(int, version.split("."))) >= (3, 51, 3)
    click.secho(
        f"  SQLite: {version}{'' if good else ', older than 3.51.3: it can lose data'}", fg=None if good else "red"
    )
    return not good


def _check_port(host: str, port: int) -> bool:
    with socket.socket() as probe:
        taken = probe.connect_ex((host, port)) == 0
    click.echo(f"  port {port}: {'something listens already (a running server?)' if taken else 'free'}")
    return False
