"""Public identifiers: a prefix that tells the kind and a suffix that two dialects share.

`resp_X` and `run_X` are two views of one row, so the suffix alone is the identity.
"""

import os
import time
from collections.abc import Iterator
from typing import Final

_RANDOM_BYTES: Final = 10
_POOL: Final = 400

SUFFIX_LENGTH: Final = 32

ITEM_PREFIXES: Final[dict[str, str]] = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "file_search_call": "fs_",
    "web_search_call": "ws_",
    "code_interpreter_call": "ci_",
    "reasoning": "rs_",
    "compaction": "cmp_",
    "mcp_call": "mcp_",
    "mcp_list_tools": "mcpl_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcprs_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "computer_call": "cu_",
    "computer_call_output": "cuo_",
    "image_generation_call": "ig_",
    "local_shell_call": "lsh_",
    "local_shell_call_output": "lsho_",
    "shell_call": "sh_",
    "shell_call_output": "sho_",
    "apply_patch_call": "apc_",
    "apply_patch_call_output": "apco_",
}
"""Prefix of an item's public id by item type; other types use `item_`."""


class _Entropy:
    """Random bytes of the system, fetched for many ids at once: a system call for each would cost more than the id."""

    def __init__(self) -> None:
        self._pool: Iterator[bytes] = iter(())
        os.register_at_fork(after_in_child=self._forget)

    def take(self) -> bytes:
        """Return bytes that nobody else is given; a step of an iterator is safe among threads."""
        while True:
            taken = next(self._pool, None)
            if taken is not None:
                return taken
            block = os.urandom(_POOL * _RANDOM_BYTES)
            self._pool = iter([block[at : at + _RANDOM_BYTES] for at in range(0, len(block), _RANDOM_BYTES)])

    def _forget(self) -> None:
        """A forked child must not give the ids that its parent gives."""
        self._pool = iter(())


_entropy = _Entropy()


def new_suffix() -> str:
    """Return 32 hexadecimal characters: 12 of milliseconds since the epoch, then 20 random ones.

    The time comes first so that neighbours in time are neighbours in an index.
    """
    return f"{time.time_ns() // 1_000_000:012x}{_entropy.take().hex()}"


def new_id(prefix: str) -> str:
    """Return a fresh public id with `prefix`, for example `resp_`."""
    return prefix + new_suffix()


def new_item_id(item_type: str) -> str:
    """Return a fresh public id for an item of `item_type`."""
    return new_id(ITEM_PREFIXES.get(item_type, "item_"))


def suffix_of(public_id: str) -> str:
    """Return what follows the first underscore, or the whole id where there is none."""
    return public_id.partition("_")[2] or public_id
