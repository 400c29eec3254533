"""A run: its settings, batches, loop, checkpoints and log."""
