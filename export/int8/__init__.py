"""Turns a float graph into an int8 graph with explicit Q/DQ pairs."""
