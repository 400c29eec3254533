"""The operator's access to the broker: connect, publish, read back, and explain errors."""
