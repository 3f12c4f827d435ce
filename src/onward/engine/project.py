"""What the engine needs of a project: its runs, its hosted tools and its files."""

from typing import Protocol

from onward.ports.attachments import Attachments
from onward.ports.hosted import Toolset
from onward.ports.runs import Runs


class TurnProject(Protocol):
    """The state and tools of the project that a turn belongs to."""

    @property
    def key(self) -> int: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def toolset(self) -> Toolset: ...
    @property
    def attachments(self) -> Attachments: ...
