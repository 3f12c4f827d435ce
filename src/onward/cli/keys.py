"""`onward keys`: API keys of a data directory. Secrets are shown once and stored as digests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from onward.cli.options import config_option, data_option, load_settings

if TYPE_CHECKING:
    from onward.ports.keys import ApiKey
    from onward.store.sqlite.store import SqliteStore

_T = TypeVar("_T")


@click.group()
def command() -> None:
    """Create, list and revoke API keys.

    As soon as one key exists, every request needs one.
    """


def _with_store(config: Path | None, data: str | None, action: Callable[[SqliteStore], Awaitable[_T]]) -> _T:
    from onward.wiring import open_data

    settings = load_settings(config=config, data=data).settings

    async def work() -> _T:
        async with open_data(settings) as store:
            return await action(store)

    return asyncio.run(work())


@command.command()
@click.argument("name")
@click.option("--project", default="default", show_default=True, help="Project that the key acts for; made if missing.")
@data_option
@config_option
def create(name: str, project: str, data: str | None, config: Path | None) -> None:
    """Create a key called NAME and print its secret, once."""
    if not name.strip() or not project.strip():
        raise click.ClickException("A key needs a NAME to be told from others by, and a project a name.")

    async def action(store: SqliteStore) -> str:
        return (await store.keys.create(name, project=await store.project(project)))[1]

    secret = _with_store(config, data, action)
    click.echo(secret)
    click.echo("Keep it now: only its digest is stored. Use it as OPENAI_API_KEY of your application.", err=True)


@command.command("list")
@data_option
@config_option
def list_keys(data: str | None, config: Path | None) -> None:
    """List keys by their prefix, with the project that each acts for."""

    async def action(store: SqliteStore) -> list[tuple[ApiKey, str]]:
        projects = await store.project_names()
        return [(key, projects.get(key.project, "?")) for key in await store.keys.list()]

    keys = _with_store(config, data, action)
    if not keys:
        click.echo(
            "No keys: the server listens on loopback only and asks for none. Create one: onward keys create NAME"
        )
    for key, project in keys:
        state = f"revoked {_day(key.revoked_at)}" if key.revoked_at is not None else "valid"
        click.echo(f"{key.prefix}…  {key.name:<24}  project {project:<16}  created {_day(key.created_at)}  {state}")


@command.command()
@click.argument("prefix")
@data_option
@config_option
def revoke(prefix: str, data: str | None, config: Path | None) -> None:
    """Revoke the key whose secret begins with PREFIX, as `onward keys list` shows it."""
    wanted = prefix.rstrip("…")

    async def action(store: SqliteStore) -> bool:
        return await store.keys.revoke(wanted)

    if not _with_store(config, data, action):
        raise click.ClickException(f"There is no valid key with the prefix {wanted}. See `onward keys list`.")
    click.echo(f"Revoked {wanted}. Running servers refuse it within seconds.")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
