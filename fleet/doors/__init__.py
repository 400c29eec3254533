"""The fleet's doors: their status, their messages, and commands to them."""
