"""Lists of conversations by creation and by metadata. Triggers keep the labels that they are found by."""

from collections.abc import Mapping
from typing import Final

from onward.core.ids import suffix_of
from onward.ports.conversations import Conversation, ConversationPage
from onward.ports.runs import Page
from onward.store.sqlite.cursor import Cursor, Value, first
from onward.store.sqlite.encoding import pack_id, unpack_id, unpack_object
from onward.store.sqlite.pages import Place, select_page
from onward.store.sqlite.run_rows import CONVERSATION

_COLUMNS: Final = "c.suffix, c.created_at, c.metadata"
_ALL: Final = f"SELECT {_COLUMNS} FROM conversations c WHERE c.project = ?"
_LABELLED: Final = f"""
SELECT {_COLUMNS} FROM conversation_labels l JOIN conversations c ON c.project = l.project AND c.log = l.log
WHERE l.project = ? AND l.name = ? AND l.value = ?
"""
_AND: Final = """
 AND EXISTS (SELECT 1 FROM conversation_labels o WHERE o.project = l.project AND o.name = ? AND o.value = ?
   AND o.created_at = l.created_at AND o.log = l.log)
"""
_PLACE: Final = f"""
SELECT created_at, log FROM conversations WHERE project = ?1 AND log = (
  SELECT log FROM aliases WHERE project = ?1 AND kind = {CONVERSATION} AND id = ?2
)
UNION ALL SELECT created_at, log FROM closed_conversations WHERE project = ?1 AND suffix = ?2
"""


def find_conversations(cursor: Cursor, project: int, page: Page, metadata: Mapping[str, str]) -> ConversationPage:
    """Return a page of conversations whose metadata has all the given pairs. Raises NotFoundError."""

    def place(public_id: str) -> Place | None:
        return first(cursor, _PLACE, (project, pack_id(suffix_of(public_id))))

    values: list[Value] = [project, *(text for pair in metadata.items() for text in pair)]
    table = "l" if metadata else "c"
    found, has_more = select_page(
        cursor,
        page,
        select=_LABELLED + _AND * (len(metadata) - 1) if metadata else _ALL,
        order_by=(f"{table}.created_at", f"{table}.log"),
        values=tuple(values),
        find=place,
        read=_read,
    )
    return ConversationPage(found, has_more)


def _read(suffix: bytes | str, created_at: float, metadata: bytes | None) -> Conversation:
    return Conversation(unpack_id(suffix), created_at, unpack_object(metadata))
