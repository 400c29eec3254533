"""Which bundle and which backend answer, and how one takes the place of another."""
