"""`ostiary selftest`: looks at everything a door stands on, and makes one report of it."""
