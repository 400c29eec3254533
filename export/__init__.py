"""The workstation: from a recipe's weights to a bundle that a device runs."""
