"""Several processes on one index file: real ones, one killed in the middle of writing."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from rows import add, ask, document_key, opened

WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rows import add, opened

async def main():
    index = opened(Path(sys.argv[1]))
    first = int(sys.argv[3])
    for file in range(first, first + int(sys.argv[4])):
        await add(index, [f"alpha {file} {i}" for i in range(20)], name=f"n{file}", file=file)
        print(file, flush=True)
    await index.aclose()

asyncio.run(main())
"""


def writer(path: Path, first: int, count: int) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", WRITER, str(path), here, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_writers_and_a_reader_agree(tmp_path: Path) -> None:
    async def main() -> None:
        index = opened(tmp_path)
        await add(index, ["alpha first"], name="first", file=999)
        with writer(tmp_path, 0, 8) as one, writer(tmp_path, 100, 8) as two:
            while one.poll() is None or two.poll() is None:
                assert await ask(index, "alpha")
            assert (one.returncode, two.returncode) == (0, 0)
        assert await index.chunk_count(1, 1) == 16 * 20 + 1
        found = {p.file for p in await ask(index, "alpha", limit=400)}
        assert found == {*range(8), *range(100, 108), 999}
        await index.aclose()

    asyncio.run(main())


def test_a_killed_writer_leaves_whole_documents_only(tmp_path: Path) -> None:
    with writer(tmp_path, 0, 500) as process:
        assert process.stdout is not None
        done = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def main() -> None:
        index = opened(tmp_path)
        passages = await ask(index, "alpha", limit=20_000)
        counts = {file: sum(p.file == file for p in passages) for file in {p.file for p in passages}}
        assert set(range(done + 1)) <= set(counts) and set(counts.values()) == {20}
        state = await index.begin(1, document_key(f"n{max(counts) + 1}"))
        assert not state.ready or state.links == 0
        await index.aclose()

    asyncio.run(main())
