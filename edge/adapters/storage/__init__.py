"""The device's disk: SQLite, the journal, the stores, and the state directory."""
