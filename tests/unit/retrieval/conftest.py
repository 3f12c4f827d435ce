"""One embedder process for all tests of the room."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data directory whose embedder the tests share."""
    return tmp_path_factory.mktemp("model")
