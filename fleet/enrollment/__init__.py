"""People and their photos come into the registry."""
