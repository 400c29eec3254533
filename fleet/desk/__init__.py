"""The operator's actions as functions that return values; they print nothing and ask nothing."""
