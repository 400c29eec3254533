"""Presentation attack detection: its cues, and the verdict over a face's frames."""
