"""What the operator says: the roster and commands, over the broker."""
