"""Options that several commands share, and settings as commands load them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from onward.settings import Loaded, SettingsError, load

_F = TypeVar("_F", bound=Callable[..., Any])


class Port(click.IntRange):
    """A TCP port; 0 takes a free one."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Ends the command where it is none."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"'{value}' is no port: expected an integer from 0 to 65535.", param, ctx)


PORT = Port(0, 65535)

data_option = click.option("--data", metavar="DIR", help="Directory of all state.  [default: ~/.onward]")
config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (TOML); or ONWARD_CONFIG."
)


def url_options(function: _F) -> _F:
    """Add the options that reach a running server."""
    function = click.option(
        "--url",
        envvar="ONWARD_URL",
        default="http://127.0.0.1:8700",
        show_default=True,
        help="A running server; or ONWARD_URL.",
    )(function)
    return click.option("--api-key", envvar="ONWARD_API_KEY", help="API key, where the server needs one.")(function)


def load_settings(*, config: Path | None = None, **overrides: object) -> Loaded:
    """Return the settings in force; an error of theirs ends the command with its message."""
    try:
        return load(environ=os.environ, overrides=overrides, config=config)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
