"""The people enrolled at this door, and whether each may pass here and now."""
