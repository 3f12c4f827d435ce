"""Settings: the order of their origins, and errors that say which setting, where, and what is allowed."""

from pathlib import Path

import pytest

from onward.settings import SettingsError, describe, load


@pytest.mark.ledger("commands:settings")
def test_the_command_line_wins_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    config = tmp_path / "onward.toml"
    config.write_text('host = "127.0.0.2"\nport = 1\nworkers = 2\nlog_level = "error"\n')
    loaded = load(
        environ={"ONWARD_PORT": "2", "ONWARD_WORKERS": "3"}, overrides={"workers": 4, "host": None}, config=config
    )
    settings = loaded.settings
    assert (settings.host, settings.port, settings.workers, settings.embedder) == ("127.0.0.2", 2, 4, "local")
    origins = loaded.origins
    assert origins["host"] == str(config) and origins["port"] == "ONWARD_PORT"
    assert origins["workers"] == "command line" and origins["embedder"] == "default"
    assert load(environ={"ONWARD_CONFIG": str(config)}).settings.log_level == "error"


@pytest.mark.ledger("commands:settings")
def test_aliases_come_from_a_table_or_from_pairs(tmp_path: Path) -> None:
    config = tmp_path / "onward.toml"
    config.write_text('[aliases]\n"gpt-5" = "qwen3:8b"\n')
    assert load(environ={}, config=config).settings.aliases == {"gpt-5": "qwen3:8b"}
    pairs = load(environ={"ONWARD_ALIASES": "gpt-5 = qwen3:8b , gpt-4o=llama"}).settings.aliases
    assert pairs == {"gpt-5": "qwen3:8b", "gpt-4o": "llama"}


@pytest.mark.ledger("commands:settings")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("prot = 1", "Unknown setting 'prot'"),
        ("port = 70000", "port"),
        ('port = "many"', "port"),
        ('embedder = "cloud"', "embedder"),
        ("context_window = 1", "context_window"),
        ("port = = 1", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, content: str, words: str) -> None:
    config = tmp_path / "onward.toml"
    config.write_text(content)
    with pytest.raises(SettingsError, match=words):
        load(environ={}, config=config)


@pytest.mark.ledger("commands:settings")
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ONWARD_PORT", "abc", "ONWARD_PORT is 'abc': expected an integer from 0 to 65535."),
        ("ONWARD_WORKERS", "0", "ONWARD_WORKERS is '0': expected an integer from 1 to 64."),
        ("ONWARD_CONTEXT_WINDOW", "many", "ONWARD_CONTEXT_WINDOW is 'many': expected an integer of at least 256."),
        ("ONWARD_DISCONNECT_GRACE", "nan", "ONWARD_DISCONNECT_GRACE is 'nan': expected a number of at least 0."),
        ("ONWARD_EMBEDDER", "cloud", "ONWARD_EMBEDDER is 'cloud': expected one of 'local', 'upstream'."),
        ("ONWARD_ALIASES", "gpt-5", "ONWARD_ALIASES is 'gpt-5': expected a table of texts, or in a variable pairs"),
        ("ONWARD_WEB_SEARCH_URL", "ftp://x", "ONWARD_WEB_SEARCH_URL is 'ftp://x': expected a text that matches"),
        ("ONWARD_EGRESS_ALLOW", "a/b", "ONWARD_EGRESS_ALLOW is 'a/b': 'a/b' is no host, host:port or network."),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_expected(variable: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ={variable: value})
    assert words in str(refused.value)


@pytest.mark.ledger("commands:settings")
def test_a_wrong_value_of_a_file_is_named_and_a_secret_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "onward.toml"
    config.write_text('port = "many"\n')
    with pytest.raises(SettingsError) as refused:
        load(environ={}, config=config)
    assert str(refused.value) == f"Invalid settings: 'port' ({config}) is 'many': expected an integer from 0 to 65535."
    config.write_text("api_key = 1234\n")
    with pytest.raises(SettingsError) as secret:
        load(environ={}, config=config)
    assert str(secret.value) == f"Invalid settings: 'api_key' ({config}): expected a text."
    with pytest.raises(SettingsError, match="'workers' \\(command line\\) is '70': expected an integer from 1 to 64"):
        load(environ={}, overrides={"workers": 70})


@pytest.mark.ledger("commands:settings")
def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(SettingsError, match=path.name):
            load(environ={}, config=path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(environ={}, config=binary)


@pytest.mark.ledger("commands:settings")
def test_every_setting_has_a_meaning() -> None:
    assert all(meaning.endswith(".") for _, _, meaning in describe())
