"""A bundle is built, measured, signed and packed."""
