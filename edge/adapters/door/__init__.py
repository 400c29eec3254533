"""What opens the door."""
