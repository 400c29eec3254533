"""The registry's roster goes to the broker."""
