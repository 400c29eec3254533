"""Texts for operators: hours of the week, and a person's details."""
