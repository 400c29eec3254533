"""The operator's side of the broker: connect, publish, read back, and name problems."""
