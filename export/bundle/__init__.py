"""Bundles: built, measured, signed and packed."""
