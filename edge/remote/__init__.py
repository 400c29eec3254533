"""What a door receives from the operator through the broker: the roster and commands."""
