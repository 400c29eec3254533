"""The pure heart: values in, values out; no IO, no clock, no log, no thread."""
