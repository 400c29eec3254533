"""Measurements as files, in a bundle or beside a recipe."""
