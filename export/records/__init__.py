"""What was measured, as files in a bundle or beside a recipe."""
