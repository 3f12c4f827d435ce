"""What the handlers are given: the engine and the stores, each behind its port, and the caller's project."""

from typing import Protocol, cast

from starlette.requests import HTTPConnection

from onward.engine.engine import Engine
from onward.ports.attachments import Attachments
from onward.ports.completions import Completions
from onward.ports.conversations import Conversations
from onward.ports.files import Files
from onward.ports.hosted import Toolset
from onward.ports.idempotency import Idempotency
from onward.ports.model import Models
from onward.ports.prompts import Prompts
from onward.ports.runs import Runs
from onward.ports.vector_stores import VectorStores


class Project(Protocol):
    """Everything one project owns; the only handle to its state."""

    @property
    def key(self) -> int: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def completions(self) -> Completions: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def prompts(self) -> Prompts: ...
    @property
    def files(self) -> Files: ...
    @property
    def vector_stores(self) -> VectorStores: ...
    @property
    def toolset(self) -> Toolset: ...
    @property
    def attachments(self) -> Attachments: ...


class Authenticator(Protocol):
    """Maps the caller's credentials to a project."""

    async def authenticate(self, key: str | None, *, host: str, origin: str) -> Project:
        """Return the project of an API key (None: none was sent); `host` and `origin` are the headers, or empty.

        Raises AuthenticationError, and PermissionError_ for a foreign web page where no key protects the server.
        """
        ...


class Services(Protocol):
    """The composition that wiring makes."""

    @property
    def models(self) -> Models: ...
    @property
    def projects(self) -> Authenticator: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def disconnect_grace(self) -> float | None:
        """Seconds that a foreground turn goes on after its client went away; None lets it run to its end."""
        ...


def project_of(request: HTTPConnection) -> Project:
    """Return the project of the caller."""
    return cast("Project", request.scope["onward.project"])


def services_of(request: HTTPConnection) -> Services:
    """Return the composition that serves this request."""
    return cast("Services", request.scope["onward.services"])
