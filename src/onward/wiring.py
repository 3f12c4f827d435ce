"""The composition root: the one place that knows every adapter and puts them behind the ports.

Adapters are imported here when they are first needed, so that a server starts quickly and holds only what it uses.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from onward.core.ids import new_suffix
from onward.engine.engine import Engine
from onward.settings import Settings, load

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from onward.api.services import Authenticator, Project
    from onward.ports.attachments import Attachments
    from onward.ports.conversations import Conversations
    from onward.ports.files import Files
    from onward.ports.hosted import Toolset
    from onward.ports.model import Models
    from onward.ports.runs import Runs
    from onward.ports.vector_stores import VectorStores
    from onward.store.sqlite.store import SqliteStore

log = logging.getLogger("onward")


class ProjectParts(Struct, frozen=True, kw_only=True):
    """One project's state and tools, each behind its port."""

    key: int
    runs: Runs
    conversations: Conversations
    files: Files
    vector_stores: VectorStores
    toolset: Toolset
    attachments: Attachments


class Composition(Struct, frozen=True, kw_only=True):
    """What the handlers are given."""

    models: Models
    projects: Authenticator
    engine: Engine
    disconnect_grace: float | None
