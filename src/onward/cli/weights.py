"""Downloads of the embedded model's weights, with a progress bar, for the commands that need them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onward.models.detect import Choice
    from onward.models.weights import Weights
    from onward.settings import Settings


def detect_model(settings: Settings) -> Choice:
    """Return what would answer with these settings."""
    from onward.models.chat_completions import Connections
    from onward.models.detect import detect
    from onward.wiring import model_settings

    async def look() -> Choice:
        async with Connections() as connections:
            return await detect(model_settings(settings), os.environ, connections)

    return asyncio.run(look())


def pull(weights: Weights, *, hub: bool = True) -> str:
    """Fetch weights into the cache and return their path. Raises ClickException with the reason."""
    from onward.models.fetch import WeightsError, fetch_weights
    from onward.models.weights import default_cache_dir

    cache = default_cache_dir(os.environ)
    with click.progressbar(length=weights.size, label=f"{weights.name}", show_pos=False, file=sys.stderr) as bar:

        def report(done: int, _total: int) -> None:
            bar.update(done - bar.pos)

        try:
            return str(fetch_weights(weights, cache, progress=report, hub=hub))
        except WeightsError as error:
            raise click.ClickException(str(error)) from error


def offer_weights(settings: Settings, *, download: bool | None) -> None:
    """Say what answers questions; where weights could be fetched, say what and how big, and ask before fetching."""
    choice = detect_model(settings)
    weights = choice.offer
    if weights is None:
        click.echo(choice.sentence + "\n")
        return
    size = f"{weights.size / 1e9:.1f} GB"
    click.echo(f"No language model is configured. An embedded one can be downloaded once: {weights.title}, {size}.")
    if download is None:
        interactive = sys.stdin.isatty() and sys.stderr.isatty()
        download = interactive and click.confirm("Download it now?", default=True, err=True)
    if not download:
        click.echo(
            "Going on in extractive mode, without it: answers are sentences of the documents.\n"
            f"To get the model: onward models pull {weights.name}\n"
        )
        return
    try:
        click.echo(f"Stored at {pull(weights)}\n")
    except click.ClickException as error:
        click.echo(f"{error.message}\nGoing on in extractive mode, without it.\n")
