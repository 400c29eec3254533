"""Presentation attack detection on recordings: read, traced, replayed, rated; rules are fitted."""
