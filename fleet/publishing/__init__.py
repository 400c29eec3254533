"""Publishes the registry's roster to the broker."""
