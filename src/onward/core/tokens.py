"""A cheap estimate of token counts, for context budgets and for usage the upstream never reported.

It must not load a tokenizer: it runs once for every stored item.
"""

MESSAGE_OVERHEAD = 4
"""Tokens that a chat template adds around one message."""

_NOT_ASCII = bytes(range(128, 256))


def estimate_tokens(text: str | bytes) -> int:
    """Return an estimate: four ASCII bytes a token, one and a half UTF-8 bytes a token elsewhere."""
    data = text.encode() if isinstance(text, str) else text
    if data.isascii():
        return (len(data) + 3) // 4
    ascii_count = len(data.translate(None, _NOT_ASCII))
    return (ascii_count + 3) // 4 + ((len(data) - ascii_count) * 2 + 2) // 3
