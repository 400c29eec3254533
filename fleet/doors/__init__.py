"""The doors of the fleet: who they are, how they are, and what they are told."""
