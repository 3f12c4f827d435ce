"""One embedder process for all tests of the room."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedder")
