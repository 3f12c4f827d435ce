"""Several real processes on one store: claims, locks and keys hold, and what was acknowledged survives kill -9."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw
from building import after, begin, context, ending, ids, message, on, run_test, turn

from onward.store.sqlite.cursor import cursor_of, scalar
from onward.store.sqlite.store import ProjectStore, SqliteStore

PROCESSES = 3


class Process:
    """A hammer that is spoken to by lines."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.popen = popen

    def go(self) -> None:
        """Let it take its next step."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def heard(self) -> dict[str, Any]:
        """Return its next acknowledgement."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, "the process ended early"
        return json.loads(line)


@contextmanager
def hammer(job: str, directory: Path, *arguments: str) -> Generator[Process]:
    command = [sys.executable, str(Path(__file__).with_name("hammer.py")), job, str(directory), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        process = Process(popen)
        assert process.heard() == {"ready": True}
        process.go()
        try:
            yield process
        finally:
            popen.kill()


def step(processes: list[Process]) -> list[dict[str, Any]]:
    """Let all processes go at once and hear them all."""
    for process in processes:
        process.go()
    return [process.heard() for process in processes]


def test_forks_on_one_tip_from_three_processes(tmp_path: Path) -> None:
    async def first(_: SqliteStore, project: ProjectStore) -> str:
        return await turn(project)

    parent = run_test(tmp_path, first)
    with ExitStack() as stack:
        processes = [stack.enter_context(hammer("fork", tmp_path, parent)) for _ in range(PROCESSES)]
        begun, _ = [step(processes) for _ in range(2)]
        assert len({run["log"] for run in begun}) == PROCESSES

    async def check(_: SqliteStore, project: ProjectStore) -> None:
        tip = await project.runs.get(parent)
        assert tip is not None
        # Exactly one grew the log of its parent; the others opened their own.
        assert [run["log"] for run in begun].count(tip.end[-1].log) == 1
        base = ids(await context(project, after(parent)))
        for run in begun:
            items = await context(project, after(run["suffix"]))
            assert ids(items)[:2] == base
            assert len(items) == 4

    run_test(tmp_path, check)


def test_one_process_wins_a_conversation(tmp_path: Path) -> None:
    rounds = 12

    async def first(_: SqliteStore, project: ProjectStore) -> str:
        return (await project.conversations.create(metadata=b"{}", items=[])).suffix

    conversation = run_test(tmp_path, first)
    with ExitStack() as stack:
        processes = [stack.enter_context(hammer("lock", tmp_path, conversation, str(rounds))) for _ in range(PROCESSES)]
        for number in range(rounds):
            heard = step(processes)
            assert [facts["round"] for facts in heard] == [number] * PROCESSES
            winners = [process for process, facts in zip(processes, heard, strict=True) if facts["won"]]
            assert len(winners) == 1
            for process in processes:
                process.go()
            winners[0].heard()

    async def check(_: SqliteStore, project: ProjectStore) -> None:
        assert len(await context(project, on(conversation))) == 2 * rounds

    run_test(tmp_path, check)


def test_three_processes_write_at_full_speed(tmp_path: Path) -> None:
    turns = 60
    with ExitStack() as stack:
        processes = [stack.enter_context(hammer("chain", tmp_path, str(turns))) for _ in range(PROCESSES)]
        acknowledged = [[process.heard() for _ in range(turns)] for process in processes]

    async def check(store: SqliteStore, project: ProjectStore) -> None:
        for chain in acknowledged:
            items = await context(project, after(chain[-1]["suffix"]))
            assert ids(items)[1::2] == [facts["item"] for facts in chain]
        assert await store.state.read(lambda c: scalar(c, "SELECT count(*) FROM runs")) == PROCESSES * turns

    run_test(tmp_path, check)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    for moment in (1, 7, 23):
        directory = tmp_path / str(moment)
        with hammer("chain", directory, "100000") as process:
            acknowledged = [process.heard() for _ in range(moment)]
            process.popen.send_signal(signal.SIGKILL)
            process.popen.wait()
            assert process.popen.stdout is not None
            acknowledged += [json.loads(line) for line in process.popen.stdout if line.endswith("}\n")]

        async def check(store: SqliteStore, project: ProjectStore, chain: list[dict[str, Any]] = acknowledged) -> None:
            last = chain[-1]
            items = await context(project, after(last["suffix"]))
            assert ids(items)[1::2] == [facts["item"] for facts in chain]
            # What was being written is wholly there or not at all, and nothing is in the way of going on.
            assert await store.state.read(lambda c: scalar(c, "PRAGMA integrity_check")) == "ok"
            assert len(await context(project, after(await turn(project, after(last["suffix"]))))) == len(items) + 2

        run_test(directory, check)


def test_a_run_of_a_dead_process_does_not_lock_its_conversation(tmp_path: Path) -> None:
    async def first(_: SqliteStore, project: ProjectStore) -> str:
        return (await project.conversations.create(metadata=b"{}", items=[message("user", "hi")])).suffix

    conversation = run_test(tmp_path, first)
    with hammer("lock", tmp_path, conversation, "1") as process:
        process.go()
        dead = process.heard()["suffix"]
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()
    connection = apsw.Connection(str(tmp_path / "state.db"))
    cursor_of(connection).execute("UPDATE leases SET until = 0")
    connection.close()

    async def check(_: SqliteStore, project: ProjectStore) -> None:
        suffix, lease = await begin(project, on(conversation), [message("user", "again")])
        await project.runs.end(lease, ending([message("assistant", "here")]))
        assert len(await context(project, on(conversation))) == 3
        run = await project.runs.get(dead)
        assert run is not None and run.status == "failed"
        assert run.error is not None and run.error.code == "server_error"
        assert suffix != dead

    run_test(tmp_path, check)
