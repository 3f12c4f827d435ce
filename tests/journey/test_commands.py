"""The commands against a real server: keys, doctor, models, files, ask; and what they say when something is wrong."""

import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import PYTHON, Server, clean_environment, free_port, serve

COMMANDS = ["serve", "quickstart", "ask", "files", "models", "keys", "doctor"]
HELP_CPU_SECONDS = 0.15


def onward(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [PYTHON, "-m", "onward", *arguments],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def extractive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("data"), {"ONWARD_MODEL": "extractive"}) as server:
        yield server


@pytest.mark.ledger("commands:help")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = onward(command, "--help")
    assert done.returncode == 0 and f"onward {command}" in done.stdout and done.stderr == ""


@pytest.mark.ledger("commands:help")
def test_help_is_there_at_once() -> None:
    used: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = onward("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert all(f"  {command} " in done.stdout for command in COMMANDS)
    assert min(used) < HELP_CPU_SECONDS


@pytest.mark.ledger("commands:ask")
def test_files_are_added_listed_asked_and_removed(extractive: Server, tmp_path: Path) -> None:
    (tmp_path / "policy.md").write_text("# Policy\n\nParcels to Norway take nine working days.\n")
    (tmp_path / ".hidden.md").write_text("secret")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    added = onward("files", "add", str(tmp_path), "--store", "docs", "--exclude", "*.pdf", "--url", extractive.url)
    assert added.returncode == 0 and "1 of 1 files are searchable in docs" in added.stdout, added.stderr
    asked = onward("ask", "How long do parcels to Norway take?", "--store", "docs", "--url", extractive.url)
    assert "nine working days" in asked.stdout and "[1] policy.md: “Parcels to Norway" in asked.stdout
    assert "onward ask --after resp_" in asked.stderr
    failed = onward("files", "add", str(tmp_path / "broken.pdf"), "--store", "docs", ONWARD_URL=extractive.url)
    assert failed.returncode == 1 and "broken.pdf: " in failed.stderr and "Traceback" not in failed.stderr
    listed = onward("files", "list", "--store", "docs", "--url", extractive.url).stdout
    assert "policy.md" in listed and ".hidden.md" not in listed
    file_id = next(line.split()[0] for line in listed.splitlines() if "policy.md" in line)
    assert onward("files", "remove", file_id, "--url", extractive.url).stdout == f"Deleted {file_id}.\n"
    assert "policy.md" not in onward("files", "list", "--store", "docs", "--url", extractive.url).stdout


@pytest.mark.ledger("commands:errors")
def test_what_is_wrong_is_said_in_one_line(extractive: Server) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for done, words in (
        (onward("ask", "x", "--url", nobody), f"No server answers at {nobody}."),
        (onward("ask", "x", "--store", "nope", "--url", extractive.url), "There is no vector store 'nope'."),
        (onward("files", "remove", "file-no", "--url", extractive.url), "No such File object: file-no"),
        (onward("models", "pull", "nope"), "There are no weights 'nope'."),
        (onward("serve", "--config", "/none.toml"), "The settings file /none.toml does not exist."),
        (onward("serve", "--config", "/"), "is a directory"),
        (onward("serve", ONWARD_PORT="many"), "ONWARD_PORT is 'many': expected an integer"),
        (onward("doctor", ONWARD_EMBEDDER="cloud"), "ONWARD_EMBEDDER is 'cloud': expected one of"),
        (onward("nonsense"), "No such command 'nonsense'."),
        (onward("ask", " ", "--url", nobody), "The question is empty."),
        (onward("keys", "create", ""), "A key needs a NAME"),
        (onward("serve", "--port", "abc"), "'abc' is no port: expected an integer from 0 to 65535."),
    ):
        assert done.returncode != 0 and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.ledger("commands:start_errors")
def test_what_cannot_be_meant_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    def start(**environment: str) -> subprocess.CompletedProcess[str]:
        return onward("serve", "--port", str(free_port()), "--data", str(tmp_path / "data"), **environment)

    address = "expected an address such as http://127.0.0.1:11434/v1."
    newer = "The data directory was written by a newer release of Onward."
    for environment, words in (
        ({"OPENAI_BASE_URL": "nonsense"}, f"OPENAI_BASE_URL is 'nonsense': {address}"),
        ({"OPENAI_BASE_URL": "ftp://u:secret@foo/v1"}, f"OPENAI_BASE_URL is 'ftp://…@foo/v1': {address}"),
        ({"ONWARD_UPSTREAM_URL": "http://["}, address),
        ({"ONWARD_MODEL": "nosuch"}, "ONWARD_MODEL is 'nosuch', but no upstream is configured"),
        ({"ONWARD_MODEL": "extractive"}, newer),
        ({"ONWARD_MODEL": "extractive", "ONWARD_WORKERS": "2"}, newer),
    ):
        if words is newer:
            onward("keys", "list", "--data", str(tmp_path / "data"))
            with sqlite3.connect(tmp_path / "data" / "state.db") as state:
                state.execute("INSERT OR IGNORE INTO migrations VALUES ('9999_future.sql', 0)")
            state.close()
        done = start(**environment)
        assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    listed = onward("keys", "list", "--data", str(tmp_path / "data"))
    assert listed.returncode == 1 and newer in listed.stderr and "Traceback" not in listed.stderr


@pytest.mark.ledger("commands:private")
def test_what_a_server_keeps_is_its_users_alone(tmp_path: Path) -> None:
    with serve(tmp_path / "data", {"ONWARD_MODEL": "extractive"}) as server:
        client = server.client()
        store = client.vector_stores.create(name="s")
        client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("a.txt", b"Some words to keep."))
        client.responses.create(model="m", input="x")
        paths = [server.data, *server.data.rglob("*")]
        assert {"state.db", "state.db-wal", "index.db", "events.db", "blobs"} <= {path.name for path in paths}
        assert [path for path in paths if path.exists() and path.stat().st_mode & 0o077] == []


@pytest.mark.ledger("commands:ask")
def test_files_that_are_there_already_are_not_added_again(extractive: Server, tmp_path: Path) -> None:
    document = tmp_path / "twice.md"
    document.write_text("# Twice\n\nThe same words again.")
    arguments = ("files", "add", str(document), "--store", "twice", "--url", extractive.url)

    def ids() -> list[str]:
        return [line.split()[0] for line in onward("files", "list", *arguments[3:]).stdout.splitlines()]

    assert "1 of 1 files" in onward(*arguments).stdout
    first = ids()
    assert "1 of 1 files" in onward(*arguments).stdout and ids() == first and len(first) == 1
    document.write_text("# Twice\n\nThe same other words.")
    assert "1 of 1 files" in onward(*arguments).stdout and len(ids()) == 2


@pytest.mark.ledger("commands:keys")
def test_keys_are_created_listed_and_revoked(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert "No keys" in onward("keys", "list", "--data", data).stdout
    secret = onward("keys", "create", "laptop", "--data", data).stdout.strip()
    assert onward("keys", "create", "robot", "--project", "research", "--data", data).returncode == 0
    listed = onward("keys", "list", "--data", data).stdout
    prefix = listed.split("…")[0]
    laptop, robot = listed.splitlines()
    assert "  project default  " in laptop and "robot" in robot and "  project research  " in robot
    assert secret.startswith(prefix) and secret not in listed and "laptop" in listed and "valid" in listed
    assert secret.encode() not in b"".join(path.read_bytes() for path in Path(data).rglob("*") if path.is_file())
    assert onward("keys", "revoke", prefix, "--data", data).returncode == 0
    assert "revoked" in onward("keys", "list", "--data", data).stdout
    assert onward("keys", "revoke", "sk-none", "--data", data).returncode != 0


@pytest.mark.ledger("commands:doctor")
def test_the_doctor_shows_each_setting_with_its_origin(tmp_path: Path) -> None:
    config = tmp_path / "onward.toml"
    config.write_text('port = 8123\nmodel = "extractive"\n[aliases]\n"gpt-5" = "extractive"\n')
    done = onward("doctor", "--config", str(config), "--data", str(tmp_path / "d"), ONWARD_API_KEY="sk-secret-123456")
    assert done.returncode == 0, done.stdout
    settings, _ = done.stdout.split("Checks")
    lines = {line.split()[0]: line for line in settings.splitlines() if line.startswith("  ")}
    assert "8123" in lines["port"] and lines["port"].endswith(str(config))
    assert lines["data"].endswith("command line") and lines["host"].endswith("default")
    assert "(set)" in lines["api_key"] and "ONWARD_API_KEY" in lines["api_key"] and "sk-secret" not in done.stdout
    assert "No language model" in done.stdout and "SQLite: 3." in done.stdout
    blocked = tmp_path / "file"
    blocked.write_text("")
    broken = onward("doctor", "--data", str(blocked), ONWARD_MODEL="extractive")
    assert broken.returncode == 1 and "Traceback" not in broken.stderr


@pytest.mark.ledger("commands:models")
def test_models_list_says_what_would_answer() -> None:
    done = onward("models", "list", ONWARD_MODEL="extractive")
    assert done.returncode == 0 and "No language model" in done.stdout and "local-small" in done.stdout


@pytest.mark.ledger("commands:upstream_names")
def test_every_model_name_reaches_the_upstream_as_it_is(tmp_path: Path) -> None:
    from servers import upstream_of

    with upstream_of([]) as upstream, serve(tmp_path, {"OPENAI_BASE_URL": upstream.base_url}) as server:
        client = server.client()
        for name in ("gpt-5", "gpt-4o-mini", "qwen3:8b", "org/model-Q4_K_M", "local-small", "extractive"):
            assert client.responses.create(model=name, input="hi").model == name
            sent = client._client.get(f"{upstream.url}/requests").json()["data"][-1]["body"]
            assert sent["model"] == name
