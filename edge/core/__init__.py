"""Pure functions of recognition and decision: no IO, no clock, no log, no thread."""
