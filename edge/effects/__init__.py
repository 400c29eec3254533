"""Carries out decisions: opens the door, journals, and reports."""
