"""The operator's registry: who is enrolled, and where and when each person may pass."""
