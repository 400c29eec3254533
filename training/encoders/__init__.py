"""Encoders that can be trained, and how they are saved for export."""
