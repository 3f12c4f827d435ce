"""The parser's child process: reads a file within limits and answers with its text and chunks.

Started by the pool as ``python -m onward.retrieval.parse.child``; it may be killed at any time. It writes no files.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from onward.ports.parse import Document, ParseCode, ParseError, Prepared, Recipe
from onward.retrieval.chunk import prepare
from onward.retrieval.parse.kinds import Kind, detect_kind
from onward.retrieval.title import clean_title

LENGTH = struct.Struct("<Q")
TOKENIZER_SPAN = 20_000
"""Characters given to the tokenizer at once: it refuses very long inputs."""


class Task(msgspec.Struct, frozen=True):
    """A file to parse; with a recipe it is cut into chunks too. ``cpu_seconds`` limits this task alone."""

    path: str
    filename: str
    media_type: str | None
    recipe: Recipe | None
    cpu_seconds: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of a task: one of the two results, or an error for ``last_error``."""

    document: Document | None = None
    prepared: Prepared | None = None
    code: ParseCode | None = None
    message: str = ""


def limit_process(memory: int) -> None:
    """Bound the address space, forbid writing files and dumping core, and step behind other processes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)


def limit_cpu(seconds: int) -> None:
    """Allow ``seconds`` of processor time from now on; the kernel ends the process after that."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds + 1, hard))


def parse_file(path: Path, *, filename: str, media_type: str | None) -> Document:
    """Return a file's text by its type; raises ParseError."""
    kind, name = detect_kind(path, filename=filename, media_type=media_type)
    return _reader(kind, name)(path)


def _reader(kind: Kind, name: str) -> Callable[[Path], Document]:
    match kind:
        case "pdf":
            from onward.retrieval.parse.pdf import parse_pdf

            return parse_pdf
        case "docx" | "pptx":
            from onward.retrieval.parse.office import parse_docx, parse_pptx

            return parse_docx if kind == "docx" else parse_pptx
        case "html":
            from onward.retrieval.parse.html import parse_html

            return parse_html
        case "other":
            from onward.retrieval.parse.other import parse_other

            return lambda path: parse_other(path, name)
        case "text" | "markdown":
            from onward.retrieval.parse.text import parse_markdown, parse_text

            return parse_markdown if kind == "markdown" else parse_text


def count_tokens() -> Callable[[str], int]:
    """Return a counter of o200k tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its way of reading its own data, of no concern to us
        import bpe_openai

        encode = bpe_openai.get_encoding("o200k_base").encode_ordinary

    def count(text: str) -> int:
        return sum(len(encode(text[at : at + TOKENIZER_SPAN])) for at in range(0, len(text), TOKENIZER_SPAN))

    return count


def run(task: Task) -> Outcome:
    """Do one task; every failure becomes an outcome."""
    try:
        document = parse_file(Path(task.path), filename=task.filename, media_type=task.media_type)
        if task.recipe is None:
            return Outcome(document=document)
        return Outcome(prepared=prepare(document, task.recipe, count_tokens(), title=clean_title(task.filename)))
    except ParseError as error:
        return Outcome(code=error.code, message=error.message)
    except (MemoryError, RecursionError):
        return Outcome(code="invalid_file", message="The file needs more memory than a document should.")
    except Exception as error:  # noqa: BLE001 whatever a parser trips over is the file's failure, not the server's
        print(f"{task.filename}: {type(error).__name__}: {error}", file=sys.stderr)
        return Outcome(code="invalid_file", message="The file is damaged and cannot be read.")


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer tasks, a length and a msgpack body each, until the pool closes the pipe."""
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        task = msgspec.msgpack.decode(source.read(LENGTH.unpack(head)[0]), type=Task)
        limit_cpu(task.cpu_seconds)
        body = msgspec.msgpack.encode(run(task))
        sink.write(LENGTH.pack(len(body)))
        sink.write(body)
        sink.flush()


def main(argv: list[str]) -> None:
    """Run the child; libraries that print reach stderr only."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit_process(int(argv[0]))
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main(sys.argv[1:])
