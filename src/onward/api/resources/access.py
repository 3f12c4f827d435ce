"""What the resources need of the composition beyond what the dialects need."""

from typing import Protocol, cast

from starlette.requests import Request

from onward.api.services import Project, Services, project_of, services_of
from onward.ports.embed import Embedder
from onward.ports.vector_stores import StoreSearch


class SearchingProject(Project, Protocol):
    """A project whose stores can be searched."""

    @property
    def search(self) -> StoreSearch: ...


class EmbeddingServices(Services, Protocol):
    """A composition with an embedder."""

    @property
    def embedder(self) -> Embedder: ...


def search_of(request: Request) -> StoreSearch:
    """Return the search of the caller's project."""
    return cast("SearchingProject", project_of(request)).search


def embedder_of(request: Request) -> Embedder:
    """Return the embedder that serves this request."""
    return cast("EmbeddingServices", services_of(request)).embedder
