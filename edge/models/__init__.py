"""Which bundle and which backend run, and how one bundle replaces another."""
