"""`ostiary selftest`: checks everything that a door depends on, and makes one report."""
