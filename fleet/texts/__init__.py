"""Texts for operators: dates, hours of the week, and a person's details."""
