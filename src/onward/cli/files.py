"""`onward files`: the files of a vector store, over the API of a running server."""

from __future__ import annotations

import fnmatch
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onward.cli.ask import find_store
from onward.cli.client import connect, friendly_errors
from onward.cli.options import url_options

if TYPE_CHECKING:
    from openai import OpenAI

BATCH = 100
POLL_SECONDS = 0.3


@click.group()
def command() -> None:
    """Add, list and remove the files of a vector store."""


@command.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--store", required=True, help="Name or id of the vector store; made if there is none of that name.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only files whose name matches; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not files whose name or path matches; may be repeated.")
@url_options
def add(
    paths: Sequence[Path],
    store: str,
    include: Sequence[str],
    exclude: Sequence[str],
    url: str,
    api_key: str | None,
) -> None:
    """Upload PATHS (files, or folders with all that is in them) and index them.

    A file that is there already, with the same name and content, is not uploaded again.
    """
    chosen = list(select(paths, include=include, exclude=exclude))
    if not chosen:
        raise click.ClickException("No file matches.")
    with friendly_errors(url):
        client = connect(url, api_key)
        store_id = _store(client, store)
        ids = _upload(client, chosen)
        failed = _index(client, store_id, ids)
    click.echo(f"{len(ids) - failed} of {len(ids)} files are searchable in {store} ({store_id}).")
    if failed:
        raise SystemExit(1)


@command.command("list")
@click.option("--store", required=True, help="Name or id of the vector store.")
@url_options
def list_files(store: str, url: str, api_key: str | None) -> None:
    """List the files of a vector store with their state."""
    with friendly_errors(url):
        client = connect(url, api_key)
        for one in client.vector_stores.files.list(find_store(client, store)):
            reason = f"  {one.last_error.message}" if one.last_error else ""
            click.echo(f"{one.id}  {one.status:<11} {client.files.retrieve(one.id).filename}{reason}")


@command.command()
@click.argument("file_id")
@url_options
def remove(file_id: str, url: str, api_key: str | None) -> None:
    """Delete the file FILE_ID everywhere."""
    with friendly_errors(url):
        connect(url, api_key).files.delete(file_id)
    click.echo(f"Deleted {file_id}.")


def select(paths: Sequence[Path], *, include: Sequence[str], exclude: Sequence[str]) -> Iterator[Path]:
    """Return the files under `paths`, hidden ones and what the globs leave out not counted, in order."""
    for root in paths:
        candidates = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in candidates:
            relative = path.name if path == root else str(path.relative_to(root))
            hidden = any(part.startswith(".") for part in Path(relative).parts)
            wanted = not include or any(fnmatch.fnmatch(path.name, glob) for glob in include)
            refused = any(fnmatch.fnmatch(path.name, glob) or fnmatch.fnmatch(relative, glob) for glob in exclude)
            if wanted and not hidden and not refused:
                yield path


def _store(client: OpenAI, name: str) -> str:
    try:
        return find_store(client, name)
    except click.ClickException:
        return client.vector_stores.create(name=name).id


def _upload(client: OpenAI, paths: Sequence[Path]) -> list[str]:
    """Return the ids of the files, each once; only what is not there yet is uploaded."""
    present: dict[tuple[str, int], list[str]] = {}
    for file in client.files.list(purpose="assistants", limit=10_000):
        present.setdefault((file.filename, file.bytes), []).append(file.id)
    ids: list[str] = []
    with click.progressbar(paths, label="uploading", show_pos=True) as bar:
        for path in bar:
            alike = present.get((path.name, path.stat().st_size), [])
            known = next((file_id for file_id in alike if same_content(client, file_id, path)), None)
            if known is None:
                with path.open("rb") as handle:
                    known = client.files.create(file=handle, purpose="assistants").id
            ids.append(known)
    return list(dict.fromkeys(ids))


def same_content(client: OpenAI, file_id: str, path: Path) -> bool:
    """Tell whether a stored file has the bytes of `path`."""
    stored = hashlib.sha256()
    with client.files.with_streaming_response.content(file_id) as answer:
        for data in answer.iter_bytes():
            stored.update(data)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest() == stored.digest()


def _index(client: OpenAI, store_id: str, ids: Sequence[str]) -> int:
    failed = 0
    with click.progressbar(length=len(ids), label="indexing ", show_pos=True) as bar:
        for first in range(0, len(ids), BATCH):
            part = ids[first : first + BATCH]
            batch = client.vector_stores.file_batches.create(store_id, file_ids=list(part))
            while batch.status == "in_progress":
                time.sleep(POLL_SECONDS)
                batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store_id)
                bar.update(first + len(part) - batch.file_counts.in_progress - bar.pos)
            bar.update(first + len(part) - bar.pos)
            if batch.file_counts.failed:
                failed += batch.file_counts.failed
                _explain(client, store_id, batch.id)
    return failed


def _explain(client: OpenAI, store_id: str, batch_id: str) -> None:
    files = client.vector_stores.file_batches.list_files(batch_id, vector_store_id=store_id, filter="failed")
    for one in files:
        reason = one.last_error.message if one.last_error else one.status
        click.echo(f"\n  {client.files.retrieve(one.id).filename}: {reason}", err=True, nl=False)
    click.echo(err=True)
