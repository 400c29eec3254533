"""A float graph becomes an int8 one with explicit Q/DQ pairs."""
