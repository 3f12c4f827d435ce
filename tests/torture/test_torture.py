"""A server that is killed over and over loses nothing that it acknowledged, and tells no event two ways."""

import asyncio
import os
from pathlib import Path

import pytest
from servers import upstream_of

from torture.trial import Torture
from torture.work import RULES

KILLS = int(os.environ.get("ONWARD_TORTURE_KILLS", "100"))


@pytest.mark.ledger("recovery:torture")
def test_everything_acknowledged_holds_after_every_kill(tmp_path: Path) -> None:
    with upstream_of(RULES) as upstream:
        torture = Torture(tmp_path / "data", upstream.base_url, seed=20261123)
        asyncio.run(torture.run(KILLS))
    assert sum(torture.kills.values()) == KILLS and torture.checked > KILLS
