"""The report of a training run, and its plots."""
