"""The daemon: it is assembled, runs its loop, and shuts down by a deadline."""
