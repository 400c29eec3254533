"""The operator's registry: who is enrolled where and when."""
