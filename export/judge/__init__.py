"""Measures what int8 costs in recognition, and whether an encoder's input is read rightly."""
