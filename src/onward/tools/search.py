"""Search inside stores of one project: public ids become keys, keys become public ids, and what is gone is left out."""

from collections.abc import Sequence
from typing import Final

from onward.core.errors import UpstreamUnavailable
from onward.ports.embed import EmbedError
from onward.ports.filters import Filter
from onward.ports.library import Library, Ranking
from onward.ports.vector_stores import Hit, VectorStores

MAX_QUERY: Final = 8_192
"""Characters of a query that are searched for: embedding models read no more."""


class ProjectSearch:
    """Implements `StoreSearch` over the state of a project and the library that all projects share."""

    def __init__(self, *, project: int, vector_stores: VectorStores, library: Library) -> None:
        self._project = project
        self._stores = vector_stores
        self._library = library

    async def search(
        self, store_ids: Sequence[str], queries: Sequence[str], *, filter: Filter | None = None, ranking: Ranking
    ) -> Sequence[Hit]:
        """Return the best passages for the wordings of one need. Raises NotFoundError, RequestError, UpstreamError."""
        keys = await self._stores.open(store_ids)
        texts = [query[:MAX_QUERY] for query in queries]
        try:
            passages = await self._library.search(self._project, keys, texts, filter=filter, ranking=ranking)
        except EmbedError as error:
            raise UpstreamUnavailable(f"The query could not be embedded: {error}") from error
        # The index follows the state a moment later: a file that was deleted meanwhile must not be shown.
        names = await self._stores.names([passage.file for passage in passages])
        return [
            Hit(
                file_id=named.file_id,
                filename=named.filename,
                score=passage.score,
                text=passage.text,
                attributes=named.attributes,
                start=passage.start,
                end=passage.end,
                page=passage.page,
            )
            for passage in passages
            if (named := names.get(passage.file)) is not None
        ]
