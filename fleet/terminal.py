"""Text of others on the operator's terminal."""

from __future__ import annotations

MOST = 200


def plain(text: str) -> str:
    """What a device says, on one line and without anything that a terminal would obey: a stolen
    door could else hide what it did, or write words that were never said."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:MOST])
    return shown + "..." * (len(text) > MOST)
