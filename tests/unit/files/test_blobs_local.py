"""Blobs on disk: nothing shows before it is published, nothing stays of what is given up, a sweep spares the living."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onward.core.errors import PayloadTooLargeError
from onward.store.blobs_local import BUFFER, LocalBlobs


def stored(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


async def put(blobs: LocalBlobs, data: bytes, *, project: int = 1) -> str:
    async with blobs.writer(project, limit=1 << 30) as writer:
        for start in range(0, len(data), 70_000):
            await writer.write(data[start : start + 70_000])
        blob = await writer.seal()
        async with blobs.hold(project, blob.sha256):
            await writer.publish()
    return blob.sha256


def test_bytes_come_back_under_their_digest(tmp_path: Path) -> None:
    async def main() -> None:
        blobs = LocalBlobs(tmp_path)
        data = os.urandom(2 * BUFFER + 17)
        sha256 = await put(blobs, data)
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert b"".join([chunk async for chunk in blobs.read(1, sha256)]) == data
        assert await put(blobs, data) == sha256
        assert stored(tmp_path) == [blobs.path(1, sha256)]
        assert not blobs.path(2, sha256).exists()
        assert await blobs.remove(1, sha256) and not await blobs.remove(1, sha256)
        with pytest.raises(FileNotFoundError):
            await anext(blobs.read(1, sha256))

    asyncio.run(main())


def test_a_writer_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        blobs = LocalBlobs(tmp_path)
        async with blobs.writer(1, limit=100) as writer:
            await writer.write(b"x" * 100)
            await writer.seal()
        with pytest.raises(PayloadTooLargeError):
            async with blobs.writer(1, limit=100) as writer:
                await writer.write(b"x" * 101)
        task = asyncio.create_task(_write_for_ever(blobs))
        while not stored(tmp_path):  # noqa: ASYNC110 - waits for the file system
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert stored(tmp_path) == []

    asyncio.run(main())


async def _write_for_ever(blobs: LocalBlobs) -> None:
    async with blobs.writer(1, limit=1 << 40) as writer:
        while True:
            await writer.write(b"x" * BUFFER)


ABANDON = """
import asyncio, os, sys
from pathlib import Path
from onward.store.blobs_local import LocalBlobs

async def main():
    async with LocalBlobs(Path(sys.argv[1])).writer(1, limit=1 << 40) as writer:
        await writer.write(b"x" * 2_000_000)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_a_sweep_removes_what_the_dead_left_and_spares_the_living(tmp_path: Path) -> None:
    async def main() -> None:
        blobs = LocalBlobs(tmp_path)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", ABANDON, str(tmp_path)], check=False)
        assert len(stored(tmp_path)) == 1
        async with blobs.writer(1, limit=100) as writer:
            await writer.write(b"living")
            assert await blobs.sweep() == 1
            blob = await writer.seal()
            async with blobs.hold(1, blob.sha256):
                await writer.publish()
        assert stored(tmp_path) == [blobs.path(1, blob.sha256)]
        assert await blobs.sweep() == 0

    asyncio.run(main())


def test_a_blob_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        blobs, other = LocalBlobs(tmp_path), LocalBlobs(tmp_path)
        order: list[str] = []

        async def second() -> None:
            async with other.hold(1, "aa11"):
                order.append("second")

        async with blobs.hold(1, "aa11"):
            waiting = asyncio.create_task(second())
            await asyncio.sleep(0.02)
            order.append("first")
        await waiting
        assert order == ["first", "second"]

    asyncio.run(main())
