"""What the operator does, as functions that return values; they print nothing and ask nothing."""
