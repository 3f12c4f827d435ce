"""`onward`: finds the command and loads its file, and only that."""

from importlib import import_module
from typing import Final

import click

from onward import __version__
from onward.core.errors import SetupError

COMMANDS: Final = {
    "serve": "Start the server.",
    "quickstart": "See the main job run on example documents, then keep the server running.",
    "ask": "Ask a question about the files of a vector store.",
    "files": "Add, list and remove the files of a vector store.",
    "models": "List language models and download the embedded one.",
    "keys": "Create, list and revoke API keys.",
    "doctor": "Show what is configured, where it comes from, and what is missing.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; their summaries stand in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"onward.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what keeps it from starting is said in a line."""
        try:
            return super().invoke(ctx)
        except SetupError as error:
            raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onward")
def main() -> None:
    """Onward: a self-hosted, OpenAI-compatible server for stateful AI.

    \b
    Start here:
      onward quickstart                 ask example documents, no key and no network needed
      onward serve                      serve http://127.0.0.1:8700/v1
      onward files add DIR --store NAME index your own documents
      onward ask --store NAME "..."     ask them
    """
