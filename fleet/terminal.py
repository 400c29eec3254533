"""Makes text from devices safe for the operator's terminal."""

from __future__ import annotations

MOST = 200


def plain(text: str) -> str:
    """A device's text on one line, cut to 200 characters, with each control character replaced.

    With control characters a stolen door could hide lines on the terminal, or forge some.
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:MOST])
    return shown + "..." * (len(text) > MOST)
