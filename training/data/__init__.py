"""The photos that an encoder learns from."""
