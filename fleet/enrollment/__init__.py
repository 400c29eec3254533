"""Enroll people: photos, tables and checks on the way into the registry."""
