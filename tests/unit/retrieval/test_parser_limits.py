"""Bombs and limits: the file fails with a reason, the child dies, and the pool goes on."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from office_files import docx, page, paragraph, pdf, zipped

from onward.ports.parse import ParseError
from onward.retrieval.parse.pool import ParseLimits, ParserPool


async def outcome(pool: ParserPool, path: Path, name: str, data: bytes) -> tuple[str, str]:
    await asyncio.to_thread(path.write_bytes, data)
    try:
        document = await pool.parse(path, filename=name)
    except ParseError as error:
        return error.code, error.message
    return "ok", document.text[:40]


def survive(tmp_path: Path, name: str, data: bytes, limits: ParseLimits) -> str:
    """Parse a malicious file, then a good one, in one pool; returns what the first one failed with."""

    async def main() -> str:
        pool = ParserPool(size=1, limits=limits)
        code, message = await outcome(pool, tmp_path / "bad", name, data)
        assert code == "invalid_file", message
        assert await outcome(pool, tmp_path / "good", "a.txt", b"all is well") == ("ok", "all is well")
        await pool.aclose()
        return message

    return asyncio.run(main())


def test_a_zip_bomb_is_seen_before_it_is_opened(tmp_path: Path) -> None:
    bomb = zipped({"word/document.xml": b"<a>" + b" " * 60_000_000})
    assert len(bomb) < 100_000
    assert "zip bomb" in survive(tmp_path, "a.docx", bomb, ParseLimits())


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    body = f"<!DOCTYPE d [{entities}]><d>&e8;</d>"
    assert "type of its own" in survive(tmp_path, "a.docx", zipped({"word/document.xml": body}), ParseLimits())


def test_a_document_that_takes_too_much_memory_ends(tmp_path: Path) -> None:
    deep = docx("<w:p>" * 400_000)
    message = survive(tmp_path, "a.docx", deep, ParseLimits(memory=300 * 1024**2, cpu_seconds=20))
    assert "memory" in message or "damaged" in message
    wide = b"word " * 30_000_000
    assert "memory" in survive(tmp_path, "a.txt", wide, ParseLimits(memory=400 * 1024**2, cpu_seconds=20))


def test_a_pdf_bomb_runs_out_of_processor_time(tmp_path: Path) -> None:
    operators = b"BT /F1 9 Tf " + b"1 0 0 1 9 9 Tm (aaaaaaaaaaaaaaaaaaaa) Tj " * 1_500_000 + b"ET"
    bomb = pdf([operators], packed=True)
    assert len(bomb) < 1_000_000
    start = time.monotonic()
    message = survive(tmp_path, "a.pdf", bomb, ParseLimits(cpu_seconds=1, wall_seconds=60))
    assert "processor time" in message and time.monotonic() - start < 50


def test_wall_time_is_limited(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def main() -> None:
        pool = ParserPool(size=1, limits=ParseLimits(wall_seconds=1.5))
        with pytest.raises(ParseError, match="within 2 seconds") as caught:
            await pool.parse(tmp_path / "pipe", filename="a.txt")
        assert caught.value.code == "invalid_file"
        assert await outcome(pool, tmp_path / "good", "a.txt", b"all is well") == ("ok", "all is well")
        await pool.aclose()

    asyncio.run(main())


def test_output_is_limited(tmp_path: Path) -> None:
    assert "too large" in survive(tmp_path, "a.txt", b"word " * 2000, ParseLimits(output=1000))


def test_a_cancelled_task_takes_its_child_along(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def main() -> None:
        pool = ParserPool(size=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await pool.parse(tmp_path / "pipe", filename="a.txt")
        assert await outcome(pool, tmp_path / "good", "a.txt", b"all is well") == ("ok", "all is well")
        await pool.aclose()

    asyncio.run(main())


def test_children_are_used_again_and_rest_when_idle(tmp_path: Path) -> None:
    async def main() -> None:
        pool = ParserPool(size=1, limits=ParseLimits(tasks=3), idle_seconds=0.05)
        await outcome(pool, tmp_path / "a", "a.txt", b"one")
        (child,) = pool.idle
        await outcome(pool, tmp_path / "a", "a.txt", b"two")
        assert pool.idle == [child]
        await outcome(pool, tmp_path / "a", "a.txt", b"three")
        assert pool.idle == [] and child.process.returncode is not None, "it has done its three tasks"
        await outcome(pool, tmp_path / "a", "a.txt", b"four")
        (child,) = pool.idle
        async with asyncio.timeout(10):
            await child.process.wait()
        assert pool.idle == []
        await pool.aclose()

    asyncio.run(main())


def test_a_word_document_of_many_paragraphs_needs_little_memory(tmp_path: Path) -> None:
    async def main() -> None:
        pool = ParserPool(limits=ParseLimits(memory=400 * 1024**2))
        data = docx("".join(paragraph(f"Paragraph {n} has {n * 7919} words.") for n in range(60_000)))
        assert (await outcome(pool, tmp_path / "a", "a.docx", data))[0] == "ok"
        assert (await outcome(pool, tmp_path / "a", "a.pdf", pdf([page([f"Page {n}"]) for n in range(300)])))[0] == "ok"
        await pool.aclose()

    asyncio.run(main())
