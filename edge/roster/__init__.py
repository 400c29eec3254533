"""The roster: the operator's signed truth of who is enrolled, and this device's copy of it."""
