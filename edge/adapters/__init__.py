"""The outside world: cameras, photos, files, the broker, the door."""
