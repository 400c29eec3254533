"""The device's disk: SQLite, the journal, the stores, and the folder that they lie in."""
