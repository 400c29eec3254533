"""Which bundle and backend the door runs, and how one bundle replaces another."""
