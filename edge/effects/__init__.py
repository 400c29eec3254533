"""A decision becomes an act and a message."""
