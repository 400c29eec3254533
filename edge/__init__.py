"""Ostiary on the device: from a camera's frame to a decision at the door."""
