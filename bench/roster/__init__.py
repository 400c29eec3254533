"""Benchmarks of the roster: devices that synchronise with a real broker."""
