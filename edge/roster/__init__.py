"""The roster: the operator's signed list of who is enrolled, and this device's copy of it."""
