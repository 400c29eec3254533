"""The operator's side of a fleet: people, the broker's messages, and what each device holds."""
