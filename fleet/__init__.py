"""The operator's side of a fleet: who is enrolled, what the broker holds, which device has it."""
